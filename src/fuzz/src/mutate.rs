//! Inputs near those of a corpus. A smaller failing input has fewer mutations, as proptest shrinks the list of them.

use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::{Index, select};

use crate::corpus::Corpus;

/// Mutations of one input, at most.
const MUTATIONS: usize = 8;
/// A mutated input is not longer than this beyond what it was made of: repetition is meant to explode in the parser,
/// not here.
const GROWTH: usize = 64 << 10;

/// One change of an input. Positions are relative, so that they mean something whatever was changed before.
#[derive(Clone, Debug)]
enum Mutation {
    Bit(Index, u8),
    Byte(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    /// Repeats a piece: width, depth and length come from this one.
    Repeat(Index, usize, usize),
    Truncate(Index),
    /// Puts another input, from a position on, in the place of the rest.
    Splice(Index, Vec<u8>, Index),
    /// Puts a number in the place of the digits that are found from a position on.
    Number(Index, &'static str),
}

const NUMBERS: &[&str] = &[
    "0",
    "-1",
    "1",
    "127",
    "255",
    "256",
    "65535",
    "65536",
    "2147483647",
    "2147483648",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1e999",
    "00000000000000000000000001",
];

/// Inputs near those of the corpus, with tokens inserted that mean something to the parser.
pub(crate) fn inputs(corpus: &Corpus, tokens: &[Vec<u8>]) -> impl Strategy<Value = Vec<u8>> + use<> {
    let seeds: Vec<Vec<u8>> = corpus.iter().map(|(_, input)| input.to_vec()).collect();
    let mutations = proptest::collection::vec(mutation(&seeds, tokens), 0..=MUTATIONS);
    (select(seeds), mutations).prop_map(|(seed, mutations)| {
        let longest = seed.len() + GROWTH;
        let mut input = seed;
        for mutation in mutations {
            apply(&mut input, mutation);
            input.truncate(longest);
        }
        input
    })
}

fn mutation(seeds: &[Vec<u8>], tokens: &[Vec<u8>]) -> impl Strategy<Value = Mutation> + use<> {
    let tokens = if tokens.is_empty() { vec![Vec::new()] } else { tokens.to_vec() };
    let at = any::<Index>;
    prop_oneof![
        2 => (at(), 0..8u8).prop_map(|(at, bit)| Mutation::Bit(at, bit)),
        2 => (at(), any::<u8>()).prop_map(|(at, byte)| Mutation::Byte(at, byte)),
        1 => (at(), proptest::collection::vec(any::<u8>(), 1..16)).prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
        4 => (at(), select(tokens)).prop_map(|(at, token)| Mutation::Insert(at, token)),
        2 => (at(), 1..64usize).prop_map(|(at, length)| Mutation::Remove(at, length)),
        2 => (at(), 1..64usize, prop_oneof![1..8usize, Just(1000)])
            .prop_map(|(at, length, times)| Mutation::Repeat(at, length, times)),
        1 => at().prop_map(Mutation::Truncate),
        2 => (at(), select(seeds.to_vec()), at()).prop_map(|(at, other, from)| Mutation::Splice(at, other, from)),
        2 => (at(), select(NUMBERS)).prop_map(|(at, number)| Mutation::Number(at, number)),
    ]
}

/// A position from 0 to the length, both included.
fn position(at: Index, length: usize) -> usize {
    at.index(length + 1)
}

fn apply(input: &mut Vec<u8>, mutation: Mutation) {
    let length = input.len();
    match mutation {
        Mutation::Bit(at, bit) => {
            if let Some(byte) = input.get_mut(position(at, length)) {
                *byte ^= 1 << bit;
            }
        }
        Mutation::Byte(at, new) => {
            if let Some(byte) = input.get_mut(position(at, length)) {
                *byte = new;
            }
        }
        Mutation::Insert(at, bytes) => {
            let at = position(at, length);
            input.splice(at..at, bytes);
        }
        Mutation::Remove(at, count) => {
            let at = position(at, length);
            input.drain(at..length.min(at + count));
        }
        Mutation::Repeat(at, count, times) => {
            let at = position(at, length);
            let piece = input[at..length.min(at + count)].repeat(times);
            input.splice(at..at, piece);
        }
        Mutation::Truncate(at) => input.truncate(position(at, length)),
        Mutation::Splice(at, other, from) => {
            input.truncate(position(at, length));
            let from = position(from, other.len());
            input.extend_from_slice(&other[from..]);
        }
        Mutation::Number(at, number) => {
            let start = position(at, length);
            if let Some(first) = input[start..].iter().position(u8::is_ascii_digit).map(|first| start + first) {
                let digits = input[first..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                input.splice(first..first + digits, number.bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    #[test]
    fn inputs_are_near_the_corpus_and_bounded() {
        let mut corpus = Corpus::default();
        corpus.add("seed", b"a=12,b=[]".to_vec());
        let strategy = inputs(&corpus, &[b"[[".to_vec()]);
        let mut runner = TestRunner::deterministic();
        let made: Vec<_> =
            (0..2000).map(|_| strategy.new_tree(&mut runner).map(|tree| tree.current()).unwrap_or_default()).collect();
        let has = |what: &[u8]| made.iter().any(|input| input.windows(what.len()).any(|some| some == what));
        assert!(made.iter().all(|input| input.len() <= b"a=12,b=[]".len() + GROWTH));
        assert!(made.iter().any(|input| input == b"a=12,b=[]"), "unchanged");
        assert!(has(b"[[") && has(b"a=18446744073709551616") && made.iter().any(|input| input.len() > 1000));
    }
}
