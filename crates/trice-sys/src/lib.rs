//! The Linux system calls that std lacks, as safe functions on owned file descriptors.
