//! Images and their archives, tried with the programs that others use: Debian's `docker-registry`, `skopeo`, `umoci`
//! and `tar`, in network namespaces and folders of their own.

mod archives;
mod place;
mod registries;
mod stacks;
