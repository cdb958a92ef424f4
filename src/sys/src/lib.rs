//! The only room with `unsafe`: what nix and rustix lack, behind functions that can't be misused.
