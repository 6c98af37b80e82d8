"""What the metadata service of tests/util/metadata-service tells: a tree of directories
and values, as the real one lays them out (EC2 user guide, "Instance metadata categories").
"""

import base64
import json
from datetime import datetime, timedelta, timezone

VERSIONS = """1.0 2007-01-19 2007-03-01 2007-08-29 2007-10-10 2007-12-15 2008-02-01
    2008-09-01 2009-04-04 2011-01-01 2011-05-01 2012-01-12 2014-02-25 2014-11-05 2015-10-20
    2016-04-19 2016-06-30 2016-09-02 2018-03-28 2018-08-17 2018-09-24 2019-10-01 2020-10-27
    2021-01-03 2021-03-23 2021-07-15 2022-09-24 latest""".split()

DEFAULTS = {
    "instance_id": "i-0123456789abcdef0",
    "instance_type": "t3.medium",
    "ami_id": "ami-0123456789abcdef0",
    "account": "123456789012",
    "region": "eu-central-1",
    "availability_zone": None,  # the region's first where None
    "mac": "02:00:5e:00:53:01",
    "local_ipv4": "169.254.10.15",
    "subnet": "169.254.0.0/16",
    "ssh_key": None,
    "block_devices": {"ami": "/dev/sda1", "root": "/dev/sda1"},
    # One of these three, or none: no user-data.
    "user_data": None,
    "user_data_base64": None,
    "user_data_file": None,
    # {"name": …}, and any of CREDENTIALS beside it.
    "role": None,
}

CREDENTIALS = {
    "Code": "Success",
    "Type": "AWS-HMAC",
    "AccessKeyId": "ASIATESTTESTTESTTEST",
    "SecretAccessKey": "test+secret/0123456789abcdefghijklmnopqr",
    "Token": "test-session-token//////////0123456789==",
}

def stamp(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


class Instance:
    """What the service tells: a tree of directories (dict) and leaves (bytes)."""

    def __init__(self, config):
        unknown = set(config) - set(DEFAULTS)
        if unknown:
            raise ValueError(f"unknown keys: {', '.join(sorted(unknown))}")
        self.config = {**DEFAULTS, **config}
        self.tree()  # what is wrong with it is told now, not at a request

    def changed(self, told):
        """Another instance, where `told` differs. A new user-data replaces any other."""
        old = {k: v for k, v in self.config.items() if not k.startswith("user_data")}
        keep = not any(k.startswith("user_data") for k in told)
        return Instance({**(self.config if keep else old), **told})

    def user_data(self):
        c = self.config
        if c["user_data_file"] is not None:
            with open(c["user_data_file"], "rb") as file:
                return file.read()
        if c["user_data_base64"] is not None:
            return base64.b64decode(c["user_data_base64"], validate=True)
        return None if c["user_data"] is None else c["user_data"].encode()

    def tree(self):
        c = self.config
        zone = c["availability_zone"] or c["region"] + "a"
        host = f"ip-{c['local_ipv4'].replace('.', '-')}.{c['region']}.compute.internal"
        interface = {
            "device-number": "0",
            "interface-id": "eni-0123456789abcdef0",
            "local-hostname": host,
            "local-ipv4s": c["local_ipv4"],
            "mac": c["mac"],
            "owner-id": c["account"],
            "security-group-ids": "sg-0123456789abcdef0",
            "security-groups": "default",
            "subnet-id": "subnet-0123456789abcdef0",
            "subnet-ipv4-cidr-block": c["subnet"],
            "vpc-id": "vpc-0123456789abcdef0",
            "vpc-ipv4-cidr-block": c["subnet"],
            "vpc-ipv4-cidr-blocks": c["subnet"],
        }
        meta = {
            "ami-id": c["ami_id"],
            "ami-launch-index": "0",
            "ami-manifest-path": "(unknown)",
            "block-device-mapping": dict(c["block_devices"]),
            "hostname": host,
            "instance-action": "none",
            "instance-id": c["instance_id"],
            "instance-life-cycle": "on-demand",
            "instance-type": c["instance_type"],
            "local-hostname": host,
            "local-ipv4": c["local_ipv4"],
            "mac": c["mac"],
            "network": {"interfaces": {"macs": {c["mac"]: interface}}},
            "placement": {
                "availability-zone": zone,
                "availability-zone-id": "euc1-az1",
                "region": c["region"],
            },
            "profile": "default-hvm",
            "reservation-id": "r-0123456789abcdef0",
            "security-groups": "default",
            "services": {"domain": "amazonaws.com", "partition": "aws"},
        }
        if c["ssh_key"]:
            meta["public-keys"] = {"0": {"openssh-key": c["ssh_key"]}}
        if c["role"]:
            now = datetime.now(timezone.utc)
            times = {"LastUpdated": stamp(now), "Expiration": stamp(now + timedelta(hours=6))}
            given = {**CREDENTIALS, **times, **c["role"]}
            name = given.pop("name")
            profile = f"arn:aws:iam::{c['account']}:instance-profile/{name}"
            info = {"Code": "Success", "LastUpdated": stamp(now), "InstanceProfileArn": profile}
            meta["iam"] = {
                "info": json.dumps(info, indent=2),
                "security-credentials": {name: json.dumps(given, indent=2)},
            }
        document = {
            "accountId": c["account"],
            "architecture": "x86_64",
            "availabilityZone": zone,
            "imageId": c["ami_id"],
            "instanceId": c["instance_id"],
            "instanceType": c["instance_type"],
            "pendingTime": "2026-01-01T00:00:00Z",
            "privateIp": c["local_ipv4"],
            "region": c["region"],
            "version": "2017-09-30",
        }
        # Signatures of nobody's: they are there to be read, not to be verified.
        signed = base64.b64encode(b"not a signature" * 8).decode()
        identity = {
            "document": json.dumps(document, indent=2),
            "pkcs7": signed,
            "rsa2048": signed,
            "signature": signed,
        }
        tree = {"dynamic": {"instance-identity": identity}, "meta-data": meta}
        user_data = self.user_data()
        if user_data is not None:
            tree["user-data"] = user_data
        return tree

    def find(self, path):
        """The body at `path`, or None."""
        parts = [part for part in path.split("/") if part]
        if not parts:
            return "\n".join(VERSIONS).encode()
        if parts[0] not in VERSIONS:
            return None
        here = self.tree()
        for part in parts[1:]:
            if not isinstance(here, dict) or part not in here:
                return None
            here = here[part]
        if isinstance(here, dict):
            if parts[1:] == ["meta-data", "public-keys"]:
                return b"0=test-key"
            # The top of a version is listed without slashes, what is below with them.
            slash = "/" if len(parts) > 1 else ""
            names = [n + (slash if isinstance(v, dict) else "") for n, v in here.items()]
            return "\n".join(sorted(names)).encode()
        return here if isinstance(here, bytes) else here.encode()
