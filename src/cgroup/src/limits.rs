//! Limits as systemd knows them.

/// What systemd has to be told about a container's scope: it writes its own idea of a scope's limits whenever it reads
/// its units again. Sizes are bytes. `None` is no limit and no protection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Memory, at most.
    pub memory_max: Option<u64>,
    /// Swap alone, at most.
    pub swap_max: Option<u64>,
    /// Memory above which a container is slowed down.
    pub memory_high: Option<u64>,
    /// Memory that is taken away last.
    pub memory_low: Option<u64>,
    /// Memory that is not taken away.
    pub memory_min: Option<u64>,
    /// Microseconds of processors, in a period of so many.
    pub cpu: Option<(u64, u64)>,
}

impl Limits {
    /// As properties of a unit, systemd.resource-control(5) with the names of org.freedesktop.systemd1(5): all of type
    /// `t`. Those without a value are what a unit has that was told nothing.
    #[must_use]
    pub fn properties(&self) -> [(&'static str, u64); 7] {
        let (unlimited, unprotected) = (u64::MAX, 0);
        let (per_second, period) = self.cpu.map_or((unlimited, unlimited), |(quota, period)| {
            let per_second = u128::from(quota) * 1_000_000 / u128::from(period.max(1));
            (u64::try_from(per_second).unwrap_or(unlimited), period)
        });
        [
            ("MemoryMax", self.memory_max.unwrap_or(unlimited)),
            ("MemorySwapMax", self.swap_max.unwrap_or(unlimited)),
            ("MemoryHigh", self.memory_high.unwrap_or(unlimited)),
            ("MemoryLow", self.memory_low.unwrap_or(unprotected)),
            ("MemoryMin", self.memory_min.unwrap_or(unprotected)),
            ("CPUQuotaPerSecUSec", per_second),
            ("CPUQuotaPeriodUSec", period),
        ]
    }
}
