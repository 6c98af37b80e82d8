"""The inner part of tests/bench/first-boot: starts the services and the contenders, counts."""

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
import urllib.request

ROUNDS, WORK, SERVICE, MOTO = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
SCRIPT = f"{WORK}/root/usr/local/bin/script"
CLOUD_INIT = [["cloud-init", "init", "--local"], ["cloud-init", "init"]]
CLOUD_INIT += [["cloud-init", "modules", f"--mode={mode}"] for mode in ("config", "final")]
CONTENDERS = {
    "the script alone": [["/usr/local/bin/script"]],
    "agent boot": [["agent", "boot", "--no-tags"]],
    "agent boot, agent tags": [["agent", "boot", "--no-tags"], ["agent", "tags"]],
    "cloud-init": CLOUD_INIT,
}


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def services():
    """The metadata service at its own address, and a mock of the EC2 API."""
    run("ip", "link", "set", "lo", "up")
    run("ip", "address", "add", "169.254.169.254/32", "dev", "lo")
    moto = [MOTO, "-H", "127.0.0.1", "-p", "5000"]
    subprocess.Popen(moto, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = ["--address", "169.254.169.254", "--port", "80"]
    service = subprocess.Popen([SERVICE, *address, "--user-data", SCRIPT, "--role", "bench"], stdout=subprocess.PIPE)
    service.stdout.readline()
    limit = time.monotonic() + 60
    while time.monotonic() < limit:
        try:
            return urllib.request.urlopen("http://127.0.0.1:5000/moto-api/").read()
        except OSError:
            time.sleep(0.2)
    sys.exit("the mock of the EC2 API does not start")


def fresh():
    """A root directory that nothing has booted in."""
    at = f"{WORK}/layers"
    run("mount", "-t", "tmpfs", "tmpfs", at)
    for name in ("upper", "work", "merged"):
        os.mkdir(f"{at}/{name}")
    root = f"{at}/merged"
    run("mount", "-t", "overlay", "overlay", root, "-o", f"lowerdir={WORK}/root,upperdir={at}/upper,workdir={at}/work")
    run("mount", "-t", "proc", "proc", f"{root}/proc")
    firmware(root)
    run("mount", "--bind", "/dev", f"{root}/dev")
    run("mount", "-t", "tmpfs", "tmpfs", f"{root}/run")
    os.chmod(f"{root}/tmp", 0o1777)
    return root


def firmware(root):
    """A /sys in which the firmware says EC2, as cloud-init wants to see it."""
    run("mount", "-t", "tmpfs", "tmpfs", f"{root}/sys")
    os.makedirs(f"{root}/sys/class/dmi/id")
    uuid = "ec2e1916-9099-7caf-fd21-012345abcdef"
    told = {"product_uuid": uuid, "product_serial": uuid, "sys_vendor": "Amazon EC2", "product_name": "m7i.large"}
    for name, value in told.items():
        with open(f"{root}/sys/class/dmi/id/{name}", "w") as file:
            file.write(value + "\n")
    for name in ("class/net", "devices"):
        os.makedirs(f"{root}/sys/{name}")
        run("mount", "--bind", f"/sys/{name}", f"{root}/sys/{name}")


def boot(name):
    """CPU milliseconds of all processes, and milliseconds from the first to the script."""
    root = fresh()
    environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.time()
    said = []
    for command in CONTENDERS[name]:
        ended = subprocess.run(["chroot", root, *command], env=environment, capture_output=True, text=True)
        said.append(ended)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if any(ended.returncode for ended in said):
        sys.exit(f"{name}: {said}")
    with open(f"{root}/tmp/script") as file:
        [at] = file.read().split()
    if name == "cloud-init":
        judged_fairly(root)
    run("umount", "--recursive", f"{WORK}/layers")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return 1000 * cpu, 1000 * (float(at) - began)


def judged_fairly(root):
    """It ended well, and without a warning, but for the one that there is no network to set up."""
    with open(f"{root}/run/cloud-init/result.json") as file:
        result = json.load(file)["v1"]
    with open(f"{root}/var/log/cloud-init.log") as file:
        warnings = [line for line in file if any(w in line for w in ("WARN", "ERROR", "Traceback"))]
    warnings = [line for line in warnings if "Did not find a fallback interface" not in line]
    if result["errors"] or not result["datasource"].startswith("DataSourceEc2") or warnings:
        sys.exit(f"cloud-init is not judged fairly: {result} {warnings}")


run("mount", "--make-rprivate", "/")
run("mount", "-t", "sysfs", "sysfs", "/sys")
services()
os.mkdir(f"{WORK}/layers")
for name in CONTENDERS:
    boot(name)  # into the page cache
taken = {name: [] for name in CONTENDERS}
for n in range(ROUNDS):
    for name in list(CONTENDERS)[n % 4 :] + list(CONTENDERS)[: n % 4]:
        taken[name].append(boot(name))

print("| | CPU ms | ms until the script runs |\n|---|---|---|")
medians = {}
for name, boots in taken.items():
    cells = []
    for column in zip(*boots):
        cells.append(f"{statistics.median(column):.1f} ({min(column):.1f} to {max(column):.1f})")
    medians[name] = statistics.median(cpu for cpu, _ in boots)
    print(f"| {name} | {cells[0]} | {cells[1]} |")
alone = medians["the script alone"]
for name in ("agent boot", "agent boot, agent tags"):
    ratio = (medians["cloud-init"] - alone) / (medians[name] - alone)
    print(f"CPU of cloud-init to {name}, without the script's own: {ratio:.0f}")
