//! What a lockfile is worth: does it answer for every tool that the config beside it declares?
