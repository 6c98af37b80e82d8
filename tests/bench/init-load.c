/* What tests/bench/init runs around an init and below it: the launcher, which starts an init as
 * PID 1 of a new pid namespace, and the workloads, which are the init's child.
 *
 *   init-load run ROOT COMMAND...        prints the init's pid, and waits for its end
 *   init-load start ROUNDS COMMAND...    a line a round: ns from exec of the init to the child's
 *                                        main, ns to the init's end, CPU ns, page faults
 *   init-load signals COUNT COMMAND...   a line a signal: ns from kill(init, USR1) to the handler
 *   init-load stamp                      a workload: writes the time, and exits
 *   init-load handler                    a workload: writes the time of each USR1
 *   init-load work                       a workload: obeys standard input, line by line
 *       one COUNT             that many orphans; each has been reaped before the next one is made
 *       burst COUNT SIZE      that many orphans, SIZE of them end at once
 *       zombies COUNT SIZE    the same; answers for each burst how many had ended and were not
 *                             reaped, at most
 *
 * Times are CLOCK_MONOTONIC. The child writes them to its standard output, a pipe. Where single
 * times are taken (start, signals), all of it runs with a real-time priority if that is allowed:
 * what else the machine does would come in between otherwise, for milliseconds. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_BURST 1000
#define REAPED_WITHIN_NS 30000000000

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void nap(long ns)
{
    nanosleep(&(struct timespec){.tv_nsec = ns}, NULL);
}

static void need(int ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "init-load: %s: %s\n", what, strerror(errno));
        _exit(99);
    }
}

/* ---- the launcher ---- */

/* Starts `command` as PID 1 of a new pid namespace with its own /proc. It leaves the time just
 * before its exec in `began`, which is shared memory. */
static pid_t launch(const char *root, char **command, int64_t *began)
{
    pid_t pid = syscall(SYS_clone, CLONE_NEWPID | CLONE_NEWNS | SIGCHLD, 0, 0, 0, 0);
    need(pid >= 0, "a new pid namespace");
    if (pid != 0)
        return pid;
    need(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0, "prctl");
    need(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0, "private mounts");
    need(chdir(root) == 0 && mount("proc", "proc", "proc", 0, NULL) == 0, "mounting proc");
    need(chroot(".") == 0, "chroot");
    *began = now();
    execv(command[0], command);
    need(0, command[0]);
    return -1;
}

static void before_all_others(void)
{
    sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){.sched_priority = 10});
}

static int64_t *shared(void)
{
    int64_t *page = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    need(page != MAP_FAILED, "shared memory");
    return page;
}

static int run(const char *root, char **command)
{
    int status;
    pid_t pid = launch(root, command, shared());
    dprintf(STDOUT_FILENO, "%d\n", pid);
    need(waitpid(pid, &status, 0) == pid, "waitpid");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* The child's standard output goes into a pipe; returns the end to read from. */
static int capture(int *keep)
{
    int ends[2];
    *keep = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 10);
    need(*keep >= 0 && pipe2(ends, O_CLOEXEC) == 0, "pipe");
    need(dup2(ends[1], STDOUT_FILENO) == STDOUT_FILENO, "dup2");
    close(ends[1]);
    return ends[0];
}

static int64_t in_ns(struct timeval t)
{
    return t.tv_sec * INT64_C(1000000000) + t.tv_usec * INT64_C(1000);
}

static int start(int rounds, char **command)
{
    int64_t *began = shared(), *figures = calloc(4 * (size_t)rounds, sizeof *figures), at;
    int keep, from = capture(&keep);
    before_all_others();
    for (int i = 0; i < rounds; i++) {
        struct rusage used;
        int status;
        pid_t pid = launch("/", command, began);
        need(read(from, &at, sizeof at) == sizeof at, "the child's time");
        need(wait4(pid, &status, 0, &used) == pid && status == 0, "the init's end");
        figures[4 * i] = at - *began;
        figures[4 * i + 1] = now() - *began;
        figures[4 * i + 2] = in_ns(used.ru_utime) + in_ns(used.ru_stime);
        figures[4 * i + 3] = used.ru_minflt + used.ru_majflt;
    }
    for (int i = 0; i < rounds; i++, figures += 4)
        dprintf(keep, "%" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 "\n", figures[0], figures[1],
                figures[2], figures[3]);
    return 0;
}

static int signals(int count, char **command)
{
    int64_t *taken = calloc((size_t)count, sizeof *taken), at;
    int keep, from = capture(&keep);
    before_all_others();
    pid_t pid = launch("/", command, shared());
    need(read(from, &at, sizeof at) == sizeof at, "the child's beginning");
    for (int i = 0; i < count; i++) {
        nap(300000); /* everybody sleeps again */
        int64_t sent = now();
        need(kill(pid, SIGUSR1) == 0, "kill");
        need(read(from, &at, sizeof at) == sizeof at, "the handler's time");
        taken[i] = at - sent;
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    for (int i = 0; i < count; i++)
        dprintf(keep, "%" PRId64 "\n", taken[i]);
    return 0;
}

/* ---- the workloads ---- */

static void handle(int signal)
{
    int64_t at = now();
    (void)signal;
    if (write(STDOUT_FILENO, &at, sizeof at) != sizeof at)
        _exit(99);
}

static _Noreturn void handler(void)
{
    signal(SIGUSR1, handle);
    handle(0); /* ready */
    for (;;)
        pause();
}

/* What the workload shares with the orphans and their mothers. */
static struct {
    atomic_int ended;
    pid_t orphans[MAX_BURST];
} *board;

static int all_reaped(int count)
{
    while (count > 0 && kill(board->orphans[count - 1], 0) != 0)
        count--;
    return count == 0;
}

static void await_reaping(int count, long pause_ns)
{
    int64_t limit = now() + REAPED_WITHIN_NS;
    while (!all_reaped(count)) {
        if (now() > limit) {
            fprintf(stderr, "init-load: an orphan was never reaped\n");
            _exit(98);
        }
        nap(pause_ns);
    }
}

/* A mother makes `count` children and ends. With a `gate` they live until the other end of that
 * pipe is closed, else they end at once. */
static void make_orphans(int count, const int *gate)
{
    pid_t mother = fork();
    need(mother >= 0, "fork");
    if (mother == 0) {
        if (gate)
            close(gate[1]);
        for (int i = 0; i < count; i++) {
            pid_t pid = fork();
            need(pid >= 0, "fork");
            if (pid == 0) {
                char none;
                if (gate && read(gate[0], &none, 1) != 0)
                    _exit(99);
                atomic_fetch_add(&board->ended, 1);
                _exit(0);
            }
            board->orphans[i] = pid;
        }
        _exit(0);
    }
    need(waitpid(mother, NULL, 0) == mother, "waitpid");
}

/* The children of PID 1 that have ended and are still there, at most. The counts are taken in
 * the order that can only make it less. */
static int watch(int size, int children)
{
    static char text[16 * MAX_BURST];
    int most = 0, left = size;
    int64_t limit = now() + REAPED_WITHIN_NS;
    for (; left > 0 && now() < limit; nap(100000)) {
        int ended = atomic_load(&board->ended);
        ssize_t length = pread(children, text, sizeof text, 0);
        need(length >= 0, "reading the children of PID 1");
        left = -1; /* this process */
        for (ssize_t i = 0; i < length; i++)
            left += text[i] == ' ';
        if (ended - (size - left) > most)
            most = ended - (size - left);
    }
    return most;
}

static void bursts(int count, int size, int children)
{
    for (; count > 0; count -= size) {
        int gate[2], here = count < size ? count : size;
        need(pipe(gate) == 0, "pipe");
        atomic_store(&board->ended, 0);
        make_orphans(here, gate);
        close(gate[0]);
        nap(2000000); /* what the mother's end has woken sleeps again */
        close(gate[1]);
        if (children >= 0)
            dprintf(STDOUT_FILENO, "%d ", watch(here, children));
        await_reaping(here, 1000000);
    }
}

static int work(void)
{
    char line[100];
    int count, size;
    board = (void *)shared();
    dprintf(STDOUT_FILENO, "ready\n");
    while (fgets(line, sizeof line, stdin)) {
        if (sscanf(line, "one %d", &count) == 1) {
            for (int i = 0; i < count; i++) {
                make_orphans(1, NULL);
                await_reaping(1, 20000);
            }
        } else if (sscanf(line, "burst %d %d", &count, &size) == 2 && size <= MAX_BURST) {
            bursts(count, size, -1);
        } else if (sscanf(line, "zombies %d %d", &count, &size) == 2 && size <= MAX_BURST) {
            int children = open("/proc/1/task/1/children", O_RDONLY | O_CLOEXEC);
            if (children >= 0)
                bursts(count, size, children);
            close(children);
        } else {
            return 2;
        }
        dprintf(STDOUT_FILENO, "done\n");
    }
    return 0;
}

int main(int argc, char **argv)
{
    int64_t at = now();
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "stamp") == 0)
        return write(STDOUT_FILENO, &at, sizeof at) != sizeof at;
    if (strcmp(what, "handler") == 0)
        handler();
    if (strcmp(what, "work") == 0)
        return work();
    if (strcmp(what, "run") == 0 && argc > 3)
        return run(argv[2], argv + 3);
    if (strcmp(what, "start") == 0 && argc > 3)
        return start(atoi(argv[2]), argv + 3);
    if (strcmp(what, "signals") == 0 && argc > 3)
        return signals(atoi(argv[2]), argv + 3);
    fprintf(stderr, "init-load: the head of init-load.c says how this is called\n");
    return 2;
}
