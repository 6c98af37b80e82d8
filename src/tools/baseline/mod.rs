//! Tools of the image that no config of a user's can replace: links straight to their
//! programs, in a directory that stands on PATH before everything that mise decides.
