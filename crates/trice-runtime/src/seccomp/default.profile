# The system calls that a container may make, unless it asks for another profile.
#
# ACTION [if KEY VALUE...] [unless KEY VALUE...]       and below it, indented, what the action is for:
#     NAME NAME ...                                      system calls, with any arguments
#     NAME: CONDITION, CONDITION                         one, if all the conditions on its arguments hold
#
# ACTION      allow, log, trap, notify, kill-thread, kill-process, or errno and a number
# KEY         capability: it has one of these; machine: it is one of these; kernel: this version or a newer one
# CONDITION   arg0 to arg5 (64 bits) or int0 to int5 (the low 32 bits, all that the kernel reads of an int),
#             perhaps `&` and a mask, then == != < <= > >= and a number
#
# The first rule that holds decides. What an architecture of the machine does not have is passed over.
#
# The facts are those of Docker's profile (github.com/moby/profiles, seccomp/default.json, June 2026, Apache-2.0),
# with one difference: the first arguments of socket and personality are compared as the kernel reads them.
# Compared as 64 bits, a family with a bit set above the lowest 32 would be "greater than 40" to the filter and
# AF_ALG to the kernel.

# No rule holds: EPERM. The number is above all that the tables know: ENOSYS, so that programs fall back.
default errno 1
unknown errno 38

# Files by path.
allow
    access chdir chmod chown chown32 creat faccessat faccessat2 fchdir fchmodat fchmodat2 fchownat
    futimesat getcwd lchown lchown32 link linkat mkdir mkdirat mknod mknodat name_to_handle_at open openat
    openat2 readlink readlinkat rename renameat renameat2 rmdir symlink symlinkat truncate truncate64
    umask unlink unlinkat utime utimensat utimensat_time64 utimes

# Open files.
allow
    close close_range copy_file_range dup dup2 dup3 fadvise64 fadvise64_64 fallocate fchmod fchown
    fchown32 fcntl fcntl64 fdatasync flock fsync ftruncate ftruncate64 getdents getdents64 ioctl _llseek
    lseek pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readv sendfile
    sendfile64 splice sync sync_file_range syncfs tee vmsplice write writev

# What files are.
allow
    cachestat fgetxattr flistxattr fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64
    getxattr getxattrat lgetxattr listmount listxattr listxattrat llistxattr lremovexattr lsetxattr lstat
    lstat64 newfstatat removexattr removexattrat setxattr setxattrat stat stat64 statfs statfs64 statmount
    statx

# Waiting for files.
allow
    epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old
    eventfd eventfd2 fanotify_mark inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel
    io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit _newselect poll ppoll
    ppoll_time64 pselect6 pselect6_time64 select signalfd signalfd4 timerfd_create timerfd_gettime
    timerfd_gettime64 timerfd_settime timerfd_settime64

# Memory.
allow
    brk madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap
    mmap2 mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect
    process_mrelease remap_file_pages

# Processes and threads.
allow
    execve execveat exit exit_group fork futex futex_requeue futex_time64 futex_wait futex_waitv
    futex_wake get_robust_list get_thread_area getpgid getpgrp getpid getppid getsid gettid ipc
    landlock_add_rule landlock_create_ruleset landlock_restrict_self pidfd_open pidfd_send_signal prctl
    restart_syscall rseq seccomp set_robust_list set_thread_area set_tid_address setpgid setsid uretprobe
    vfork wait4 waitid waitpid

# Users, groups and capabilities.
allow
    capget capset getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getresgid
    getresgid32 getresuid getresuid32 getuid getuid32 setfsgid setfsgid32 setfsuid setfsuid32 setgid
    setgid32 setgroups setgroups32 setregid setregid32 setresgid setresgid32 setresuid setresuid32
    setreuid setreuid32 setuid setuid32

# Limits and scheduling.
allow
    getcpu getpriority getrlimit getrusage ioprio_get ioprio_set prlimit64 sched_get_priority_max
    sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler
    sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam
    sched_setscheduler sched_yield setpriority setrlimit times ugetrlimit

# Signals.
allow
    alarm kill pause rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
    rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack sigprocmask sigreturn tgkill
    tkill

# Messages, semaphores and shared memory.
allow
    mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend
    mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop
    semtimedop_time64 shmat shmctl shmdt shmget

# Sockets.
allow
    accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg
    recvmmsg_time64 recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair

# Clocks and timers.
allow
    adjtimex clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64
    clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer time timer_create
    timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64

# The system.
allow
    getrandom sysinfo uname

# 40 is AF_VSOCK, which reaches the hypervisor; 38 is AF_ALG, the kernel's cryptography (CVE-2026-31431).
allow
    socket: int0 < 38
    socket: int0 == 39
    socket: int0 > 40

# The usual Linux, its 32-bit look, both with UNAME26, and the question which it is.
allow
    personality: int0 == 0
    personality: int0 == 0x8
    personality: int0 == 0x20000
    personality: int0 == 0x20008
    personality: int0 == 0xffffffff

# Before 4.8 tracing was a way around the filter.
allow if kernel 4.8
    process_vm_readv process_vm_writev ptrace

allow if machine aarch64
    arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls

allow if machine x86_64
    arch_prctl modify_ldt

allow if capability BPF
    bpf

allow if capability DAC_READ_SEARCH
    open_by_handle_at

allow if capability PERFMON
    perf_event_open

allow if capability SYSLOG
    syslog

allow if capability SYS_ADMIN
    bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr
    lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl
    quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare

allow if capability SYS_BOOT
    reboot

allow if capability SYS_CHROOT
    chroot

allow if capability SYS_MODULE
    delete_module finit_module init_module

allow if capability SYS_NICE
    get_mempolicy mbind set_mempolicy set_mempolicy_home_node

allow if capability SYS_PACCT
    acct

allow if capability SYS_PTRACE
    kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace

allow if capability SYS_RAWIO
    ioperm iopl

allow if capability SYS_TIME
    clock_settime clock_settime64 settimeofday stime

allow if capability SYS_TTY_CONFIG
    vhangup

# Namespaces are for those who may mount. The flags of clone3 lie in memory, where no filter can see them: a
# program that hears that there is no such call uses clone.
allow unless capability SYS_ADMIN
    clone: arg0 & 0x7e020000 == 0

errno 38 unless capability SYS_ADMIN
    clone3
