//! Letting the host pass packets on between its links.
//!
//! A host that forwards IPv6 stops listening to routers, unless it is told otherwise, and loses its own way out with
//! the next expiry. So those links that listen now are told to go on first.
//!
//! Source: Linux `Documentation/networking/ip-sysctl.rst`, "accept_ra".

use std::fs;

use trice_model::network::FirewallBridge;

use crate::sysctl::{self, SysctlError};

/// Lets packets through in each version of IP that one of `bridges` leads out by.
pub(super) fn allow(bridges: &[FirewallBridge]) -> Result<(), SysctlError> {
    let leads_out = |is_of_version: fn(&ipnet::IpNet) -> bool| {
        bridges.iter().any(|bridge| !bridge.internal && bridge.subnets.iter().any(is_of_version))
    };
    if leads_out(|net| net.addr().is_ipv4()) {
        sysctl::set("net.ipv4.ip_forward", "1")?;
    }
    if leads_out(|net| net.addr().is_ipv6()) && !sysctl::is("net.ipv6.conf.all.forwarding", "1") {
        go_on_listening_to_routers()?;
        sysctl::set("net.ipv6.conf.all.forwarding", "1")?;
    }
    Ok(())
}

/// Has the links that listen to routers now do so though the host forwards.
fn go_on_listening_to_routers() -> Result<(), SysctlError> {
    let Ok(links) = fs::read_dir("/proc/sys/net/ipv6/conf") else { return Ok(()) };
    for link in links.flatten() {
        let link = link.file_name();
        let Some(link) = link.to_str().filter(|link| *link != "all" && *link != "default") else { continue };
        let name = format!("net/ipv6/conf/{link}/accept_ra");
        // A link without IPv6 listens to nobody, and bridges of ours have been told not to.
        let enabled = sysctl::is(&format!("net/ipv6/conf/{link}/disable_ipv6"), "0");
        if enabled && sysctl::is(&name, "1") {
            sysctl::set(&name, "2")?;
        }
    }
    Ok(())
}
