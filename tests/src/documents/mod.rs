//! Documents as tests read them: what their blocks tell to be done, and what that shows.
//!
//! The languages of blocks say what they are:
//!
//! - `sh`: commands, one a line; a line that ends with a backslash goes on. Each succeeds.
//! - `console`: `$ ` and a command, then what it prints. See [`shows`] for what need not be the same.
//! - `toml`, `yaml`, `json`, `ini`: a file, which the first line names as a comment: `# /etc/peapod/config.toml`.

mod shown;
mod steps;

pub use shown::shows;
pub use steps::{Step, Task, spoken, steps};
