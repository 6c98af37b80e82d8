# The machine image baked on EC2 itself, from Debian's own: cloud-init goes, the agent comes.
#
#   packer init image/ami/agent.pkr.hcl      # with packer 1.7 and newer
#   packer build -var agent=target/x86_64-unknown-linux-gnu/release/agent image/ami/agent.pkr.hcl

variable "agent" {
  type        = string
  description = "The agent's program, built for the image's architecture."
}

variable "region" {
  type    = string
  default = "eu-central-1"
}

variable "architecture" {
  type        = string
  default     = "amd64"
  description = "Of Debian's image: amd64, or arm64 with an instance type for that."
}

variable "instance_type" {
  type    = string
  default = "t3.small"
}

variable "config" {
  type        = string
  default     = "image/ami/agent.toml"
  description = "Becomes /etc/agent/agent.toml."
}

locals {
  made = formatdate("YYYYMMDD-hhmm", timestamp())
}

source "amazon-ebs" "sandbox" {
  region        = var.region
  instance_type = var.instance_type
  ssh_username  = "admin"
  ami_name      = "agent-sandbox-${var.architecture}-${local.made}"

  source_ami_filter {
    # Debian's own account (wiki.debian.org/Cloud/AmazonEC2Image).
    owners      = ["136693071363"]
    most_recent = true
    filters = {
      name                = "debian-12-${var.architecture}-*"
      virtualization-type = "hvm"
      root-device-type    = "ebs"
    }
  }
}

build {
  sources = ["source.amazon-ebs.sandbox"]

  # The machine's own cloud-init finishes first: it would go on writing what is cleaned up below.
  provisioner "shell" {
    inline = ["cloud-init status --wait || true", "mkdir -p /tmp/bake"]
  }

  provisioner "file" {
    source      = var.agent
    destination = "/tmp/bake/agent"
  }
  provisioner "file" {
    source      = var.config
    destination = "/tmp/bake/agent.toml"
  }
  provisioner "file" {
    source      = "image/ami/setup"
    destination = "/tmp/bake/setup"
  }
  provisioner "file" {
    source      = "systemd"
    destination = "/tmp/bake"
  }

  provisioner "shell" {
    execute_command = "sudo env {{ .Vars }} sh -eux '{{ .Path }}'"
    inline = [
      "export DEBIAN_FRONTEND=noninteractive",
      "apt-get update",
      "apt-get install -y --no-install-recommends fdisk nfs-common git tmux",
      "bash /tmp/bake/setup --agent /tmp/bake/agent --config /tmp/bake/agent.toml",
      "apt-get purge -y cloud-init cloud-image-utils cloud-guest-utils || apt-get purge -y cloud-init",
      "apt-get autoremove -y --purge",
      "agent config check",
      "rm -rf /tmp/bake",
    ]
  }

  # Last: nobody logs in after it. The session that runs it keeps what it has open.
  provisioner "shell" {
    execute_command = "sudo env {{ .Vars }} sh -eux '{{ .Path }}'"
    inline          = ["agent clean --yes", "agent clean --check"]
  }
}
