//! Limits of a container, or of a pod as a whole, that are refused before anything changes.

use peapod_cgroup::Cgroup;
use peapod_spec::container::Resources;

use crate::error::Error;

/// On cgroup v2 the kernel takes every limit and ends whoever is above it. The group is that of a container or of a
/// pod.
pub(crate) fn refuse_below_usage(
    group: &Cgroup,
    after: &Resources,
    (what, id): (&'static str, &str),
) -> Result<(), Error> {
    let file = after.unified.get("memory.max").and_then(|value| value.trim().parse().ok());
    let limit = u64::try_from(after.memory_limit).ok().filter(|limit| *limit != 0).into_iter().chain(file).min();
    let (Some(limit), Ok(Some(held))) = (limit, group.held_memory()) else { return Ok(()) };
    if held <= limit {
        return Ok(());
    }
    Err(Error::Precondition {
        what,
        id: id.to_owned(),
        state: format!("holding {held} bytes of memory"),
        need: "a limit below that would end it: free memory in it first, or set a higher limit",
    })
}

/// Swap counts memory too: no OCI runtime takes it. Where swap isn't counted, its limit is not told to any.
pub(crate) fn refuse_swap_below_memory(after: &Resources, swap_accounting: bool) -> Result<(), Error> {
    let (memory, both) = (after.memory_limit, after.memory_swap_limit);
    if !swap_accounting || both <= 0 || both >= memory {
        return Ok(());
    }
    let reason = format!("{both}, which is for memory and swap together, is less than the {memory} for memory");
    Err(Error::Invalid { field: "memory_swap_limit_in_bytes".to_owned(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swap_counts_memory() {
        let of = |memory_limit, memory_swap_limit| {
            refuse_swap_below_memory(&Resources { memory_limit, memory_swap_limit, ..Resources::default() }, true)
        };
        assert!(of(64, 64).is_ok() && of(64, 0).is_ok() && of(64, -1).is_ok() && of(-1, 32).is_ok());
        let error = of(64, 32).unwrap_err();
        assert!(matches!(&error, Error::Invalid { field, .. } if field == "memory_swap_limit_in_bytes"), "{error}");
    }
}
