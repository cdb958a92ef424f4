//! JSON from strangers, read in one pass and within bounds.
//!
//! A field of the wrong kind is a fact about that field ([`Field::Wrong`]) and no error of the whole document: whoever
//! needs the field says so by its name, and others never notice. `null` is absent, as for the tools that write these
//! documents. What is not asked for is skipped without being kept, however deep it is nested.

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use crate::bounds::TEXT_OVERHEAD;

/// What a document has under one name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Field<T> {
    /// Nothing, or null.
    #[default]
    Absent,
    /// Something of another kind.
    Wrong,
    /// More than is taken.
    Large,
    /// What it should be.
    Is(T),
}

impl<T> Field<T> {
    /// The value if it is there and usable.
    pub(crate) fn usable(self) -> Option<T> {
        match self {
            Self::Is(value) => Some(value),
            Self::Absent | Self::Wrong | Self::Large => None,
        }
    }

    /// The value, or its default if it is absent; else what is wrong with the field of that name.
    pub(crate) fn or_default(self, name: &str) -> Result<T, String>
    where
        T: Default + Shape,
    {
        match self {
            Self::Absent => Ok(T::default()),
            Self::Is(value) => Ok(value),
            Self::Wrong => Err(format!("{name} is not {}", T::WHAT)),
            Self::Large => Err(format!("{name} has more than peapod takes ({})", T::LIMIT)),
        }
    }
}

/// A kind of value that a [`Field`] may hold; what it does not take is wrong.
pub(crate) trait Shape: Sized {
    /// For errors: "a text".
    const WHAT: &'static str;
    /// For errors: "256 KiB".
    const LIMIT: &'static str = "255 bytes";

    fn text(_: &str) -> Field<Self> {
        Field::Wrong
    }

    fn number(_: u64) -> Field<Self> {
        Field::Wrong
    }

    fn list<'de, A: SeqAccess<'de>>(mut items: A) -> Result<Field<Self>, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Field::Wrong)
    }

    fn object<'de, A: MapAccess<'de>>(mut members: A) -> Result<Field<Self>, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Field::Wrong)
    }
}

impl<'de, T: Shape> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor(PhantomData))
    }
}

struct FieldVisitor<T>(PhantomData<T>);

impl<'de, T: Shape> Visitor<'de> for FieldVisitor<T> {
    type Value = Field<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::WHAT)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Field::Absent)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Field::Wrong)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Field::Wrong)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Field::Wrong)
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(T::number(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(T::text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Self::Value, A::Error> {
        T::list(items)
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Self::Value, A::Error> {
        T::object(members)
    }
}

/// Reads a whole document.
pub(crate) fn read<T: Shape>(bytes: &[u8]) -> Result<Field<T>, String> {
    // Some editors begin a file with a mark of byte order.
    let text = String::from_utf8_lossy(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes));
    serde_json::from_str(&text)
        .or_else(|error| serde_json::from_str(&tame(&text)).map_err(|_| error))
        .map_err(|error| error.to_string())
}

/// The same document without what the JSON reader refuses although its form is right: numbers beyond those of the
/// machine become -1, halves of characters become the sign for an unreadable one.
fn tame(text: &str) -> String {
    /// Of the largest number of 64 bits.
    const DIGITS: usize = 20;
    let mut tamed = String::with_capacity(text.len());
    let (mut rest, mut in_text) = (text, false);
    while let Some(first) = rest.chars().next() {
        let is_number = |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E');
        let (taken, shown) = if in_text {
            match rest.get(..6) {
                Some(half) if half.starts_with("\\u") && is_half(&half[2..]) => (6, "\\ufffd"),
                _ if first == '\\' => (1 + rest[1..].chars().next().map_or(0, char::len_utf8), rest),
                _ => (first.len_utf8(), rest),
            }
        } else if first.is_ascii_digit() || first == '-' {
            let end = rest.find(|c| !is_number(c)).unwrap_or(rest.len());
            let usual = end <= DIGITS && rest[..end].bytes().all(|b| b.is_ascii_digit());
            (end, if usual { rest } else { "-1" })
        } else {
            (first.len_utf8(), rest)
        };
        in_text ^= first == '"';
        tamed.push_str(&shown[..taken.min(shown.len())]);
        rest = &rest[taken..];
    }
    tamed
}

/// Whether these four digits are one half of a character of two.
fn is_half(digits: &str) -> bool {
    u16::from_str_radix(digits, 16).is_ok_and(|unit| (0xd800..0xe000).contains(&unit))
}

/// A text of at most `LIMIT` bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Text<const LIMIT: usize>(pub(crate) String);

impl<const LIMIT: usize> Shape for Text<LIMIT> {
    const WHAT: &'static str = "a text";

    fn text(text: &str) -> Field<Self> {
        if text.len() > LIMIT { Field::Large } else { Field::Is(Self(text.to_owned())) }
    }
}

impl Shape for u64 {
    const WHAT: &'static str = "a whole number";

    fn number(number: u64) -> Field<Self> {
        Field::Is(number)
    }
}

/// Texts of at most `LIMIT` bytes, overhead included. A member that is null is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Texts<const LIMIT: usize>(pub(crate) Vec<String>);

impl<const LIMIT: usize> Shape for Texts<LIMIT> {
    const WHAT: &'static str = "a list of texts";
    const LIMIT: &'static str = "256 KiB";

    fn list<'de, A: SeqAccess<'de>>(mut items: A) -> Result<Field<Self>, A::Error> {
        let (mut left, mut outcome) = (LIMIT, Field::Is(Vec::new()));
        while let Some(item) = items.next_element::<Field<Text<LIMIT>>>()? {
            let text = match item {
                Field::Absent => Some(String::new()),
                Field::Is(Text(text)) => Some(text),
                Field::Wrong | Field::Large => None,
            };
            let Some(text) = text else {
                outcome = Field::Wrong;
                continue;
            };
            let Field::Is(texts) = &mut outcome else { continue };
            match left.checked_sub(text.len() + TEXT_OVERHEAD) {
                Some(rest) => {
                    left = rest;
                    texts.push(text);
                }
                None => outcome = Field::Large,
            }
        }
        Ok(match outcome {
            Field::Is(texts) => Field::Is(Self(texts)),
            Field::Large => Field::Large,
            Field::Absent | Field::Wrong => Field::Wrong,
        })
    }
}

/// The names of an object's members, of at most `LIMIT` bytes, sorted; their values are of no concern.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names<const LIMIT: usize>(pub(crate) Vec<String>);

impl<const LIMIT: usize> Shape for Names<LIMIT> {
    const WHAT: &'static str = "an object";
    const LIMIT: &'static str = "256 KiB";

    fn object<'de, A: MapAccess<'de>>(mut members: A) -> Result<Field<Self>, A::Error> {
        let (mut left, mut names) = (Some(LIMIT), Vec::new());
        while let Some((name, IgnoredAny)) = members.next_entry::<String, IgnoredAny>()? {
            left = left.and_then(|left| left.checked_sub(name.len() + TEXT_OVERHEAD));
            match left {
                Some(_) => names.push(name),
                None => names = Vec::new(),
            }
        }
        names.sort_unstable();
        names.dedup();
        Ok(if left.is_some() { Field::Is(Self(names)) } else { Field::Large })
    }
}

/// Texts by name, of at most `LIMIT` bytes. A value of another kind is left out; one that is null is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pairs<const LIMIT: usize>(pub(crate) BTreeMap<String, String>);

impl<const LIMIT: usize> Shape for Pairs<LIMIT> {
    const WHAT: &'static str = "an object of texts";
    const LIMIT: &'static str = "some KiB";

    fn object<'de, A: MapAccess<'de>>(mut members: A) -> Result<Field<Self>, A::Error> {
        let (mut left, mut pairs) = (Some(LIMIT), BTreeMap::new());
        while let Some((name, value)) = members.next_entry::<String, Field<Text<LIMIT>>>()? {
            let value = match value {
                Field::Absent => String::new(),
                Field::Is(Text(text)) => text,
                Field::Wrong => continue,
                Field::Large => {
                    left = None;
                    continue;
                }
            };
            left = left.and_then(|left| left.checked_sub(name.len() + value.len() + 2 * TEXT_OVERHEAD));
            match left {
                Some(_) => drop(pairs.insert(name, value)),
                None => pairs = BTreeMap::new(),
            }
        }
        Ok(if left.is_some() { Field::Is(Self(pairs)) } else { Field::Large })
    }
}

#[cfg(test)]
mod tests {
    use super::{Field, Names, Pairs, Text, Texts, read};

    #[test]
    fn fields_of_another_kind_are_facts() {
        assert_eq!(read::<Text<5>>(b"\"short\""), Ok(Field::Is(Text("short".into()))));
        assert_eq!(read::<Text<5>>(b"\"longer\""), Ok(Field::Large));
        assert_eq!(read::<Text<5>>(b"null"), Ok(Field::Absent));
        for wrong in ["1", "-1", "1.5", "true", "[1,[2]]", "{\"a\":{}}", "1e999"] {
            assert_eq!(read::<Text<5>>(wrong.as_bytes()), Ok(Field::Wrong), "{wrong}");
        }
        for wrong in ["-1", "1.5", "18446744073709551616", "1e400", "\"1\""] {
            assert_eq!(read::<u64>(wrong.as_bytes()), Ok(Field::Wrong), "{wrong}");
        }
        assert_eq!(read::<u64>(b"18446744073709551615"), Ok(Field::Is(u64::MAX)));
        assert!(read::<u64>(b"[1").is_err() && read::<u64>(b"").is_err() && read::<u64>(b"1 2").is_err());
        // What only the second reading takes is otherwise the same.
        let odd = br#"["1e999 \\", "\ud800", "a\"b", 5, null, 1e999]"#;
        assert_eq!(read::<Texts<1000>>(odd), Ok(Field::Wrong));
        let odd = br#"["1e999 \\", "\ud800x", "a\"1e999"]"#;
        assert_eq!(
            read::<Texts<1000>>(odd),
            Ok(Field::Is(Texts(vec!["1e999 \\".into(), "\u{fffd}x".into(), "a\"1e999".into()])))
        );
    }

    #[test]
    fn collections_end_at_their_bounds() {
        let list = |count: usize| format!("[{}]", vec!["\"\""; count].join(","));
        assert!(matches!(read::<Texts<480>>(list(10).as_bytes()), Ok(Field::Is(Texts(texts))) if texts.len() == 10));
        assert_eq!(read::<Texts<480>>(list(11).as_bytes()), Ok(Field::Large));
        let object = |count: usize, value: &str| {
            let members: Vec<_> = (0..count).map(|index| format!("\"{index}\":{value}")).collect();
            format!("{{{}}}", members.join(","))
        };
        let names = read::<Names<490>>(object(10, "null").as_bytes());
        assert!(matches!(names, Ok(Field::Is(Names(names))) if names.len() == 10));
        assert_eq!(read::<Names<490>>(object(11, "null").as_bytes()), Ok(Field::Large));
        assert_eq!(read::<Pairs<960>>(object(100_000, "\"\"").as_bytes()), Ok(Field::Large));
        let mixed = br#"{"a":"x","b":null,"c":5}"#;
        let expected = [("a".to_owned(), "x".to_owned()), ("b".to_owned(), String::new())].into();
        assert_eq!(read::<Pairs<960>>(mixed), Ok(Field::Is(Pairs(expected))));
    }

    #[test]
    fn nesting_costs_nothing() {
        // What nobody asks for is skipped without a stack.
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        assert!(read::<Names<100>>(deep.as_bytes()).is_ok());
    }
}
