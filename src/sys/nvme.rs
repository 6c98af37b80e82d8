//! What an NVMe controller says of itself: by which name EC2 attached the disk.
//!
//! On Nitro instances an EBS volume shows up as `/dev/nvme1n1`, in the order in which the
//! controllers answered. The name that was asked for (`/dev/sdf`) stands in the vendor's own
//! part of the controller's identification (EC2 user guide, "Identify the EBS device";
//! the guide's `ebsnvme-id` reads the same bytes).
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Bytes of an identification (NVM Express base specification, "Identify").
pub const IDENTIFICATION: usize = 4096;

/// PCI vendor id of Amazon.
const AMAZON: u16 = 0x1d0f;

/// `struct nvme_passthru_cmd` of `linux/nvme_ioctl.h`.
#[repr(C)]
#[derive(Default)]
struct AdminCommand {
    opcode: u8,
    flags: u8,
    reserved: u16,
    namespace: u32,
    cdw2: u32,
    cdw3: u32,
    metadata: u64,
    address: u64,
    metadata_length: u32,
    data_length: u32,
    cdw10: u32,
    cdw11: u32,
    cdw12: u32,
    cdw13: u32,
    cdw14: u32,
    cdw15: u32,
    timeout_ms: u32,
    result: u32,
}

/// `NVME_IOCTL_ADMIN_CMD`.
const ADMIN: libc::Ioctl = libc::_IOWR::<AdminCommand>(b'N' as u32, 0x41);

/// Asks the controller behind the open NVMe `device` to identify itself. Needs CAP_SYS_ADMIN.
///
/// # Errors
/// It is no NVMe device, or the controller doesn't answer within 2 s.
pub fn identify(device: &File) -> io::Result<[u8; IDENTIFICATION]> {
    const IDENTIFY: u8 = 0x06;
    const CONTROLLER: u32 = 1;
    let mut answer = [0_u8; IDENTIFICATION];
    let mut command = AdminCommand {
        opcode: IDENTIFY,
        cdw10: CONTROLLER,
        address: answer.as_mut_ptr() as u64,
        data_length: IDENTIFICATION as u32,
        timeout_ms: 2000,
        ..AdminCommand::default()
    };
    // SAFETY: the command lives until the call returns, and its address and length are those
    // of `answer`, which the kernel fills and which outlives the call, too.
    let status = unsafe { libc::ioctl(device.as_raw_fd(), ADMIN, &raw mut command) };
    match status {
        0 => Ok(answer),
        ..0 => Err(io::Error::last_os_error()),
        // The controller's own status field.
        1.. => Err(io::Error::other(format!("the controller refuses it (status {status})"))),
    }
}

/// The name that an EBS volume was attached by, without `/dev/`; `None` for another disk.
pub fn ebs_name(identification: &[u8; IDENTIFICATION]) -> Option<String> {
    let [low, high, ..] = *identification;
    let model = identification.get(24..64)?;
    if u16::from_le_bytes([low, high]) != AMAZON
        || !model.starts_with(b"Amazon Elastic Block Store")
    {
        return None;
    }
    let name = identification.get(3072..3104)?;
    let text = String::from_utf8_lossy(name);
    let name = text.trim_matches(|c: char| c == '\0' || c.is_whitespace());
    let name = name.strip_prefix("/dev/").unwrap_or(name);
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn controller(vendor: u16, model: &str, name: &str) -> [u8; IDENTIFICATION] {
        let mut bytes = [0_u8; IDENTIFICATION];
        bytes[..2].copy_from_slice(&vendor.to_le_bytes());
        bytes[24..64].fill(b' ');
        bytes[24..24 + model.len()].copy_from_slice(model.as_bytes());
        bytes[3072..3104].fill(b' ');
        bytes[3072..3072 + name.len()].copy_from_slice(name.as_bytes());
        bytes
    }

    #[test]
    fn the_name_that_ec2_attached_it_by_is_read() {
        let ebs = "Amazon Elastic Block Store";
        assert_eq!(ebs_name(&controller(AMAZON, ebs, "/dev/sdf")).unwrap(), "sdf");
        assert_eq!(ebs_name(&controller(AMAZON, ebs, "xvdba\0")).unwrap(), "xvdba");
        assert_eq!(ebs_name(&controller(AMAZON, ebs, "")), None);
        assert_eq!(ebs_name(&controller(AMAZON, "Amazon EC2 NVMe Instance Storage", "sdb")), None);
        assert_eq!(ebs_name(&controller(0x1b36, ebs, "sdf")), None);
    }

    /// The size is a part of the ioctl's number.
    #[test]
    fn the_command_has_the_kernels_layout_and_another_device_refuses_it() {
        assert_eq!(size_of::<AdminCommand>(), 72);
        assert_eq!(ADMIN, 0xc048_4e41);
        let null = File::open("/dev/null").unwrap();
        assert_eq!(identify(&null).unwrap_err().raw_os_error(), Some(libc::ENOTTY));
    }
}
