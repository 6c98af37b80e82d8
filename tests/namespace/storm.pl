# The ends of a storm: `count SEED` is the workload, which makes orphans and counts the signals that
# reach it; `send PID` is outside, and sends what it is told to; `tally SEED N` makes so many
# orphans and notes how they ended.
#
# Signals are taken with the system calls themselves: perl's own handlers count no second signal of
# a kind, and the C library keeps two signals (32, 33) for itself.
use strict; use warnings;
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);
use POSIX ();

my ($role, @rest) = @ARGV;
my $out = "/mnt/out";
my ($MASK, $TAKE) = (POSIX::uname())[4] eq "x86_64" ? (14, 128) : (135, 137);
my $ALL = pack("Q", ~0);

sub mask { syscall($MASK, 2, $_[0], 0, 8) == 0 or die "mask: $!" }

# The next signal, or 0 after so many milliseconds.
sub take {
    my $wait = pack("qq", 0, $_[0] * 1_000_000);
    my $signal = syscall($TAKE, my $set = $ALL, 0, $wait, 8);
    return $signal > 0 ? $signal : 0;
}

# A file appears whole.
sub note {
    my ($name, $text) = @_;
    open(my $f, ">", "$out/.$name") or die "$name: $!"; print $f $text; close $f;
    rename("$out/.$name", "$out/$name") or die "$name: $!";
}

# ------------------------------------------------------------------ the sender

# A line is a number of signals; the answer is, for each kind, the time before its last sending.
sub send_all {
    my ($pid) = @_;
    $| = 1;
    while (my $line = <STDIN>) {
        my %last;
        for my $signal (split ' ', $line) {
            $last{$signal} = clock_gettime(CLOCK_MONOTONIC);
            kill($signal, $pid) or die "signal $signal to $pid: $!";
        }
        print join(" ", map { "$_:$last{$_}" } sort { $a <=> $b } keys %last), "\n";
    }
}

# ------------------------------------------------------------------ the storm

sub orphan(&) {
    my ($life) = @_;
    my $middle = fork() // return 0;
    if (!$middle) {
        my $child = fork();
        POSIX::_exit(0) if $child || !defined $child;
        $life->();
        POSIX::_exit(0);
    }
    waitpid($middle, 0);
    return 1;
}

sub dies { kill($_[0], $$); sleep 5; POSIX::_exit(99) }

# Stops itself; its own orphan lets it go on.
sub stops {
    my $self = $$;
    my $other = fork() // return;
    if (!$other) {
        for (1 .. 2000) {
            open(my $f, "<", "/proc/$self/stat") or last;
            last if <$f> =~ /\) T/;
            Time::HiRes::usleep(500);
        }
        kill(18, $self);
        POSIX::_exit(0);
    }
    kill(19, $self);
    POSIX::_exit(3);
}

# A tree whose inner nodes end before their children do.
sub tree {
    my ($depth) = @_;
    return if !$depth;
    for (1 .. 2) {
        my $child = fork() // return;
        if (!$child) { tree($depth - 1); Time::HiRes::usleep(int rand 2000); POSIX::_exit(int rand 256) }
    }
}

# A fork bomb of so many processes, all alive at once.
sub bomb {
    my ($size) = @_;
    for (1 .. $size) {
        my $child = fork() // return;
        if (!$child) { Time::HiRes::usleep(20_000); POSIX::_exit(1) }
    }
}

# How many processes each kind leaves to PID 1, and what it does.
my @KINDS = (
    [1, sub { POSIX::_exit(int rand 256) }], [1, sub { POSIX::_exit(int rand 256) }],
    [1, sub { POSIX::_exit(int rand 256) }], [1, sub { dies(9) }], [1, sub { dies(11) }],
    [1, sub { dies(34 + int rand 31) }], [1, sub { dies(15) }], [2, \&stops], [15, sub { tree(3) }],
);
my @BOMB = (41, sub { bomb(40) });

# Makes orphans until it is told to end, and says how many.
sub storm {
    my ($seed) = @_;
    setpgrp(0, 0);
    mask(pack("Q", 0));
    srand($seed);
    my ($made, $rounds) = (0, 0);
    until (-e "$out/calm") {
        my ($leaves, $life) = ++$rounds % 50 ? @{ $KINDS[rand @KINDS] } : @BOMB;
        my $its = int rand 1 << 30;
        $made += $leaves if orphan { srand($its); $life->() };
    }
    note("made-$$", "$made\n");
    POSIX::_exit(0);
}

# ------------------------------------------------------------------ the workload

sub storms {
    my ($seed, $many) = @_;
    return map {
        my $storm = fork() // die "fork: $!";
        storm($seed + $_) if !$storm;
        $storm;
    } 1 .. $many;
}

sub count {
    my ($seed) = @_;
    mask($ALL);
    my (@count, @last, @storms);
    my ($news, $calm) = (1, 0);
    while (1) {
        if (my $signal = take(20)) {
            $count[$signal]++;
            $last[$signal] = clock_gettime(CLOCK_MONOTONIC);
            $news = 1;
            next;
        }
        note("seen", join(" ", map { "$_:$count[$_]:$last[$_]" } grep { $count[$_] } 1 .. 64) . "\n") if $news;
        $news = 0;
        if (!@storms && -e "$out/go") {
            @storms = storms($seed, 2);
            # Whoever forks unblocks the C library's two.
            mask($ALL);
            note("gone", "gone\n");
        }
        if (!$calm && -e "$out/calm") {
            waitpid($_, 0) for @storms;
            note("calm-now", "calm\n");
            $calm = 1;
        }
        if ($calm && -e "$out/end") {
            # The end comes in the midst of another storm, which is left behind.
            unlink("$out/calm");
            storms($seed + 10, 2);
            Time::HiRes::usleep(100_000);
            open(my $f, "<", "$out/end") or die; my ($how, $number) = split ' ', <$f>;
            POSIX::_exit($number) if $how eq "exit";
            mask(pack("Q", 0));
            kill($number, $$); sleep 5; POSIX::_exit(98);
        }
    }
}

# ------------------------------------------------------------------ orphans one by one

sub tally {
    my ($seed, $many) = @_;
    srand($seed);
    my %signals = (9 => "SIGKILL", 11 => "SIGSEGV", 15 => "SIGTERM", 35 => "signal 35", 64 => "signal 64");
    my %ways;
    for (1 .. $many) {
        my $signal = (sort keys %signals)[rand 20];
        my $status = int rand 256;
        $ways{defined $signal ? "ended by $signals{$signal}" : "exit status $status"}++;
        orphan { dies($signal) if defined $signal; POSIX::_exit($status) } or die "fork: $!";
    }
    # Whoever still lives when the workload ends is asked to end.
    while (1) {
        open(my $f, "<", "/proc/1/task/1/children") or die "children: $!";
        last if <$f> eq "$$ ";
        Time::HiRes::usleep(1000);
    }
    note("ways", join("", map { "$ways{$_} $_\n" } sort keys %ways));
}

{ send => \&send_all, count => \&count, tally => \&tally }->{$role}->(@rest);
