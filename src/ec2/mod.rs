//! What an EC2 instance can be asked, and what is said of it from inside: the instance
//! metadata service, the tags, and its own stop.
//!
//! Everything here speaks HTTP, blocks, and runs in a short-lived child of the boot
//! with a deadline, never in PID 1 and never in the boot itself.

pub mod credentials;
pub mod http;
pub mod imds;
pub mod names;
mod proxy;
pub mod report;
pub mod stop;
pub mod tags;
