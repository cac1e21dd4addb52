//! Limits on memory, processor time and processes, in the files of either version.
//!
//! The files are written by the `cgroups-rs` crate's controllers; what differs between the versions in meaning, and
//! not only in name, is turned here.
//!
//! Sources: Linux `Documentation/admin-guide/cgroup-v1/memory.rst`, `cgroup-v2.rst`; OCI Runtime Specification,
//! `config-linux.md`, "Control groups".

use std::error::Error;
use std::fs;
use std::io;
use std::path::Path;

use cgroups_rs::fs::MaxValue;
use cgroups_rs::fs::cpu::CpuController;
use cgroups_rs::fs::memory::MemController;
use cgroups_rs::fs::pid::PidController;
use trice_model::service::Resources;

/// Why a limit is not in force.
#[derive(Debug, thiserror::Error)]
pub enum LimitError {
    /// The kernel refused it.
    #[error("set `{attribute}`")]
    Refused {
        /// The Compose attribute.
        attribute: &'static str,
        /// The kernel's word.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// Nothing on this machine can hold it.
    #[error("the `{controller}` controller is missing in this machine's cgroups")]
    NoController {
        /// What is missing.
        controller: &'static str,
    },
}

/// The usual period of processor time.
const PERIOD_US: u64 = 100_000;

/// Returns the controllers that `resources` need.
pub(super) fn needed(resources: &Resources) -> Vec<&'static str> {
    let memory = resources.memory.is_some()
        || resources.memory_reservation.is_some()
        || resources.memory_swap.is_some();
    let cpu = resources.nano_cpus.is_some()
        || resources.cpu_quota_us.is_some()
        || resources.cpu_period_us.is_some()
        || resources.cpu_shares.is_some();
    let all = [(memory, "memory"), (cpu, "cpu"), (resources.pids.is_some(), "pids")];
    all.into_iter().filter(|(needed, _)| *needed).map(|(_, name)| name).collect()
}

/// Hands the controllers on, from the top of the v2 hierarchy to the groups of the containers.
pub(super) fn delegate(base: &Path) -> io::Result<()> {
    let folders = [base.parent().unwrap_or(base), base, &base.join("confined"), &base.join("privileged")];
    for folder in folders {
        let control = folder.join("cgroup.subtree_control");
        let has = fs::read_to_string(&control)?;
        for name in ["cpu", "memory", "pids"] {
            if !has.split_whitespace().any(|known| known == name) {
                fs::write(&control, format!("+{name}"))?;
            }
        }
    }
    Ok(())
}

/// Sets the limits of the v2 group at `path`.
pub(super) fn set_v2(path: &Path, resources: &Resources) -> Result<(), LimitError> {
    let memory = MemController::new(path.to_owned(), path.to_owned(), true);
    if let Some(limit) = resources.memory {
        memory.set_limit(signed(limit.0)).map_err(refused("mem_limit"))?;
    }
    if let Some(swap) = swap_beside_memory(resources) {
        memory.set_memswap_limit(swap).map_err(refused("memswap_limit"))?;
    }
    if let Some(reserved) = resources.memory_reservation {
        memory.set_soft_limit(signed(reserved.0)).map_err(refused("mem_reservation"))?;
    }
    let cpu = CpuController::new(path.to_owned(), path.to_owned(), true);
    set_cpu_time(&cpu, resources)?;
    if let Some(shares) = resources.cpu_shares {
        cpu.set_shares(weight(shares)).map_err(refused("cpu_shares"))?;
    }
    set_pids(path, resources, true)
}

/// Sets the limits of the v1 group at `path`, in the hierarchy of `controllers`.
pub(super) fn set_v1(path: &Path, controllers: &[String], resources: &Resources) -> Result<(), LimitError> {
    for controller in controllers {
        match controller.as_str() {
            "memory" => set_memory_v1(path, resources)?,
            "cpu" => {
                let cpu = CpuController::new(path.to_owned(), path.to_owned(), false);
                set_cpu_time(&cpu, resources)?;
                if let Some(shares) = resources.cpu_shares {
                    cpu.set_shares(shares).map_err(refused("cpu_shares"))?;
                }
            }
            "pids" => set_pids(path, resources, false)?,
            _ => {}
        }
    }
    Ok(())
}

/// Sets the memory limits of a v1 group, where the limit of memory and swap together may never be below that of
/// memory alone: a new group has none of either, so memory goes first.
fn set_memory_v1(path: &Path, resources: &Resources) -> Result<(), LimitError> {
    let memory = MemController::new(path.to_owned(), path.to_owned(), false);
    if let Some(limit) = resources.memory {
        memory.set_limit(signed(limit.0)).map_err(refused("mem_limit"))?;
    }
    if let Some(together) =
        resources.memory_swap.or_else(|| resources.memory.map(|limit| signed(limit.0) * 2))
    {
        // Kernels without swap accounting have no such file, and no swap to limit either.
        if path.join("memory.memsw.limit_in_bytes").exists() {
            memory.set_memswap_limit(together).map_err(refused("memswap_limit"))?;
        }
    }
    if let Some(reserved) = resources.memory_reservation {
        memory.set_soft_limit(signed(reserved.0)).map_err(refused("mem_reservation"))?;
    }
    Ok(())
}

fn set_cpu_time(cpu: &CpuController, resources: &Resources) -> Result<(), LimitError> {
    let of_cpus = resources.nano_cpus.map(|nano| signed(nano / (1_000_000_000 / PERIOD_US)));
    let period = resources.cpu_period_us.or(of_cpus.map(|_| PERIOD_US));
    let quota = of_cpus.or(resources.cpu_quota_us);
    if period.is_none() && quota.is_none() {
        return Ok(());
    }
    cpu.set_cfs_quota_and_period(quota, period).map_err(refused("cpus"))
}

fn set_pids(path: &Path, resources: &Resources, v2: bool) -> Result<(), LimitError> {
    let Some(pids) = resources.pids else { return Ok(()) };
    let max = if pids > 0 { MaxValue::Value(pids) } else { MaxValue::Max };
    PidController::new(path.to_owned(), path.to_owned(), v2).set_pid_max(max).map_err(refused("pids_limit"))
}

/// Returns the limit of swap alone, which v2 has, for that of memory and swap together, which Compose has.
fn swap_beside_memory(resources: &Resources) -> Option<i64> {
    match (resources.memory_swap, resources.memory) {
        (Some(-1), _) => Some(-1),
        (Some(together), Some(memory)) => Some((together - signed(memory.0)).max(0)),
        (Some(together), None) => Some(together),
        (None, memory) => memory.map(|memory| signed(memory.0)),
    }
}

/// Turns v1 shares (2 to 262144, 1024 usual) into a v2 weight (1 to 10000, 100 usual).
///
/// The curve of the OCI runtimes: through both ends and through the usual value, on a logarithmic scale.
fn weight(shares: u64) -> u64 {
    let shares = shares.clamp(2, 262_144) as f64;
    let logarithm = shares.log2();
    let exponent = (logarithm * logarithm + 125.0 * logarithm) / 612.0 - 7.0 / 34.0;
    (10_f64.powf(exponent).ceil() as u64).clamp(1, 10_000)
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn refused(attribute: &'static str) -> impl Fn(cgroups_rs::fs::error::Error) -> LimitError {
    move |error| LimitError::Refused { attribute, source: Box::new(error) }
}

#[cfg(test)]
mod tests {
    use trice_model::units::Bytes;

    use super::*;

    #[test]
    fn shares_become_weights_at_both_ends_and_the_usual_value() {
        assert_eq!([2, 1024, 262_144].map(weight), [1, 100, 10_000]);
    }

    #[test]
    fn swap_is_what_compose_says_less_the_memory() {
        let swap = |memory: Option<u64>, together| {
            let resources =
                Resources { memory: memory.map(Bytes), memory_swap: together, ..Resources::default() };
            swap_beside_memory(&resources)
        };
        assert_eq!(swap(Some(100), Some(150)), Some(50));
        assert_eq!(swap(Some(100), Some(-1)), Some(-1));
        assert_eq!(swap(Some(100), None), Some(100));
        assert_eq!(swap(None, None), None);
    }
}
