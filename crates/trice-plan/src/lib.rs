//! Decides: `plan(wanted, found) -> Plan`; also restart, health, and address allocation.
#![forbid(unsafe_code)]
