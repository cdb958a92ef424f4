//! The signal that asks a container to end.

use nix::sys::signal::Signal;
use peapod_spec::Note;
use peapod_text::excerpt;

/// SIGTERM.
const DEFAULT: i32 = 15;
/// The first real-time signal that the C library leaves to programs, and the last one.
const RTMIN: i32 = 34;
const RTMAX: i32 = 64;
/// Second names of signals.
const ALIASES: [(&str, &str); 3] = [("CLD", "CHLD"), ("POLL", "IO"), ("IOT", "ABRT")];

/// The request's, else the image's, else SIGTERM. What an image says that is no signal keeps nobody from running it.
pub(super) fn stop_signal(request: Option<i32>, image: Option<&str>) -> (i32, Option<Note>) {
    match (request, image.filter(|text| !text.is_empty())) {
        (Some(signal), _) => (signal, None),
        (None, None) => (DEFAULT, None),
        (None, Some(text)) => match parse(text) {
            Some(signal) => (signal, None),
            None => (DEFAULT, Some(Note::StopSignal(excerpt(text)))),
        },
    }
}

/// `SIGQUIT`, `QUIT`, `3`, `SIGRTMIN+3`.
fn parse(text: &str) -> Option<i32> {
    let text = text.trim();
    if let Ok(number) = text.parse::<i32>() {
        return (1..=RTMAX).contains(&number).then_some(number);
    }
    // None is longer: `SIGRTMIN+30`.
    if text.len() > 16 {
        return None;
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let offset = |rest: &str| if rest.is_empty() { Some(0) } else { rest.parse::<i32>().ok() };
    let real_time = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(rest), _) => RTMIN.checked_add(offset(rest)?),
        (None, Some(rest)) => RTMAX.checked_add(offset(rest)?),
        (None, None) => {
            let name = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, name)| name);
            return format!("SIG{name}").parse::<Signal>().ok().map(|signal| signal as i32);
        }
    };
    real_time.filter(|number| (RTMIN..=RTMAX).contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_numbers() {
        for (text, number) in [
            ("SIGQUIT", 3),
            ("quit", 3),
            ("15", 15),
            (" 9 ", 9),
            ("SIGRTMIN", 34),
            ("SIGRTMIN+3", 37),
            ("rtmin+30", 64),
            ("RTMAX-1", 63),
            ("sigterm", 15),
            ("SIGCLD", 17),
            ("POLL", 29),
            ("iot", 6),
        ] {
            assert_eq!(stop_signal(None, Some(text)), (number, None), "{text}");
        }
        assert_eq!(stop_signal(Some(12), Some("BOGUS")), (12, None));
        assert_eq!(stop_signal(None, None), (15, None));
        assert_eq!(stop_signal(None, Some("")), (15, None));
    }

    #[test]
    fn what_is_none_is_sigterm_and_said() {
        let long = "SIG".repeat(100_000);
        for text in
            ["BOGUS", "0", "65", "-1", "SIGNONE", "RTMIN+31", "RTMIN-1", "RTMAX+1", "RTMIN+2147483647", "SIG\n", &long]
        {
            let (signal, note) = stop_signal(None, Some(text));
            assert_eq!(signal, 15, "{text:.20}");
            let note = note.unwrap().to_string();
            assert!(note.contains("SIGTERM") && note.len() < 500 && !note.contains('\n'), "{note}");
        }
    }
}
