//! Which trace a span belongs to: the client's, by the header `traceparent` of W3C's Trace Context, or one of its own.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

/// What a client says of its own span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    trace_id: u128,
    span_id: u64,
    sampled: bool,
}

impl TraceParent {
    /// Reads the header, of version 00 or what a later one keeps of that. None for anything else: it is passed over, as
    /// the recommendation wants it.
    #[must_use]
    pub fn parse(header: &str) -> Option<Self> {
        let mut parts = header.splitn(5, '-');
        let version = hex(parts.next()?, 2)?;
        let (trace_id, span_id) = (hex(parts.next()?, 32)?, hex(parts.next()?, 16)?);
        let flags = hex(parts.next()?, 2)?;
        let is_whole = parts.next().is_none() || version > 0;
        let span_id = u64::try_from(span_id).ok()?;
        let is_valid = version != 0xff && is_whole && trace_id != 0 && span_id != 0;
        is_valid.then_some(Self { trace_id, span_id, sampled: flags & 1 == 1 })
    }
}

/// So many digits in lower case.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let fits = text.len() == digits && text.bytes().all(is_digit);
    fits.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

/// The numbers by which others know a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanContext {
    /// Of all spans of a client's request. Never 0.
    pub trace_id: u128,
    /// Its own. Never 0.
    pub span_id: u64,
    /// The client's span, if it told one.
    pub parent_id: Option<u64>,
    /// Whether the client keeps its span; true where no client said anything.
    pub sampled: bool,
}

/// Gives numbers.
#[derive(Debug)]
pub(crate) struct IdSource {
    seed: u64,
    next: AtomicU64,
}

impl IdSource {
    pub(crate) fn new() -> Self {
        // Random for each one, without a system call for each span.
        Self { seed: RandomState::new().build_hasher().finish(), next: AtomicU64::new(0) }
    }

    pub(crate) fn context(&self, parent: Option<TraceParent>) -> SpanContext {
        let own = || mixed(self.seed.wrapping_add(self.next.fetch_add(1, Ordering::Relaxed)));
        let span_id = own();
        match parent {
            Some(parent) => SpanContext {
                trace_id: parent.trace_id,
                span_id,
                parent_id: Some(parent.span_id),
                sampled: parent.sampled,
            },
            None => {
                let trace_id = u128::from(own()) << 64 | u128::from(own());
                SpanContext { trace_id, span_id, parent_id: None, sampled: true }
            }
        }
    }
}

/// A number that looks as if it had nothing to do with the other: the step of the generator SplitMix64. Never 0.
pub(crate) fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)).max(1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_parent_is_read_as_the_recommendation_says() {
        let (trace, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        let read = TraceParent::parse(&format!("00-{trace}-{span}-01")).unwrap();
        assert_eq!(read.trace_id, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
        assert_eq!((read.span_id, read.sampled), (0xb7ad_6b71_6920_3331, true));
        assert!(!TraceParent::parse(&format!("00-{trace}-{span}-00")).unwrap().sampled);
        assert!(TraceParent::parse(&format!("cc-{trace}-{span}-01-what-the-future-will-be-like")).is_some());
        for wrong in [
            String::new(),
            "00".to_owned(),
            format!("00-{trace}-{span}"),
            format!("00-{trace}-{span}-01-more"),
            format!("ff-{trace}-{span}-01"),
            format!("00-{}-{span}-01", "0".repeat(32)),
            format!("00-{trace}-{}-01", "0".repeat(16)),
            format!("00-{}-{span}-01", trace.to_uppercase()),
            format!("00-{trace}-+7ad6b7169203331-01"),
            format!("00-{trace}0-{span}-01"),
            "-".repeat(1 << 20),
            "é".repeat(28),
        ] {
            assert_eq!(TraceParent::parse(&wrong), None, "{wrong:.80}");
        }
    }

    #[test]
    fn numbers_differ() {
        let (ids, other) = (IdSource::new(), IdSource::new());
        let all: BTreeSet<u64> = (0..1000).flat_map(|_| [&ids, &other].map(|ids| ids.context(None).span_id)).collect();
        assert_eq!(all.len(), 2000);
        assert!(ids.context(None).trace_id != ids.context(None).trace_id);
    }
}
