//! Errors as text.

use std::error::Error;
use std::iter::successors;

/// An error and its causes on one line, the outermost first. A level that already ends with its cause does not repeat
/// it.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    for cause in causes(error).skip(1).map(ToString::to_string) {
        if !text.ends_with(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

/// The cause at the bottom: "connection refused" and not "error sending request".
#[must_use]
pub fn innermost(error: &(dyn Error + 'static)) -> String {
    causes(error).last().unwrap_or(error).to_string()
}

/// The error itself, then its causes. At most [`LEVELS`]: an error type of somebody else may be its own cause.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    successors(Some(error), |level| -> Option<&'a (dyn Error + 'static)> { (*level).source() }).take(LEVELS)
}

/// Levels of causes that are looked at.
const LEVELS: usize = 32;

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    #[derive(Debug)]
    struct Level(&'static str, Option<Box<Level>>);

    impl fmt::Display for Level {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Level {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|level| level as _)
        }
    }

    #[derive(Debug)]
    struct Circle;

    impl fmt::Display for Circle {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("again")
        }
    }

    impl Error for Circle {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(self)
        }
    }

    fn error(levels: &[&'static str]) -> Level {
        let mut levels = levels.iter().rev();
        let innermost = Level(levels.next().unwrap(), None);
        levels.fold(innermost, |cause, level| Level(level, Some(Box::new(cause))))
    }

    #[test]
    fn each_cause_is_said_once() {
        assert_eq!(chain(&error(&["can't pull", "request failed", "refused"])), "can't pull: request failed: refused");
        assert_eq!(chain(&error(&["can't pull: refused", "refused"])), "can't pull: refused");
        assert_eq!(chain(&error(&["alone"])), "alone");
    }

    #[test]
    fn the_innermost_is_the_last() {
        assert_eq!(innermost(&error(&["can't pull", "request failed", "refused"])), "refused");
        assert_eq!(innermost(&error(&["alone"])), "alone");
    }

    #[test]
    fn an_error_that_is_its_own_cause_comes_to_an_end() {
        assert_eq!((chain(&Circle).as_str(), innermost(&Circle).as_str()), ("again", "again"));
    }
}
