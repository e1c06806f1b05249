//! How fast bytes must come: on average, and without long gaps.
//!
//! An average alone lets a client that has sent much fall silent for as long as it has earned: after 1 MB at 256 B/s for more
//! than an hour. So each wait ends at the earlier of two deadlines: that of the average, and that of the gap.

/// What is asked of a client that sends a body.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Nanoseconds before the rate counts.
    pub grace: u64,
    /// Bytes a second on average; 0: any.
    pub min_rate: u64,
    /// Nanoseconds without a byte; 0: any.
    pub gap: u64,
}

/// What has come of one body so far.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// When the wait for it began, without the time that was ours (monotonic ns).
    since: u64,
    received: u64,
    /// When the last byte came (monotonic ns).
    heard: u64,
}

impl Pace {
    pub fn new(now: u64) -> Self {
        Self {
            since: now,
            received: 0,
            heard: now,
        }
    }

    /// So many bytes have come.
    pub fn hear(&mut self, count: usize, now: u64) {
        self.received += count as u64;
        self.heard = now;
    }

    /// Nothing was read since the last byte, which is not the client's fault.
    pub fn forgive(&mut self, now: u64) {
        self.since += now.saturating_sub(self.heard);
        self.heard = now;
    }

    /// Bytes that have come.
    pub fn received(&self) -> u64 {
        self.received
    }

    fn average_due(&self, rules: &Rules) -> Option<u64> {
        let earned = self
            .received
            .saturating_mul(1_000_000_000)
            .checked_div(rules.min_rate)?;
        Some(self.since.saturating_add(rules.grace).saturating_add(earned))
    }

    /// When the client is too slow (monotonic ns); none: never.
    pub fn due(&self, rules: &Rules) -> Option<u64> {
        let gap = (rules.gap > 0).then(|| self.heard.saturating_add(rules.gap));
        [self.average_due(rules), gap].into_iter().flatten().min()
    }

    /// What the client has done wrong by now; none: nothing yet.
    pub fn fault(&self, rules: &Rules, now: u64) -> Option<&'static str> {
        if self.average_due(rules).is_some_and(|due| due <= now) {
            return Some("the body came slower than min_rate");
        }
        let is_silent = rules.gap > 0 && now.saturating_sub(self.heard) >= rules.gap;
        is_silent.then_some("nothing of the body came for read_timeout")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;
    const RULES: Rules = Rules {
        grace: 2 * S,
        min_rate: 1000,
        gap: 30 * S,
    };

    #[test]
    fn the_earlier_of_average_and_gap_ends_a_wait() {
        let mut pace = Pace::new(0);
        assert_eq!(pace.due(&RULES), Some(2 * S));
        pace.hear(1_000_000, S);
        assert_eq!(
            pace.due(&RULES),
            Some(31 * S),
            "not after the 1000 s that 1 MB has earned"
        );
        assert_eq!(pace.fault(&RULES, 30 * S), None);
        assert_eq!(
            pace.fault(&RULES, 31 * S),
            Some("nothing of the body came for read_timeout")
        );
        let mut slow = Pace::new(0);
        slow.hear(1, 3 * S);
        assert_eq!(slow.fault(&RULES, 3 * S), Some("the body came slower than min_rate"));
    }

    #[test]
    fn each_rule_can_be_off() {
        let pace = Pace::new(5);
        let none = Rules {
            min_rate: 0,
            gap: 0,
            ..RULES
        };
        assert_eq!((pace.due(&none), pace.fault(&none, u64::MAX)), (None, None));
        let gap = Rules { min_rate: 0, ..RULES };
        assert_eq!(pace.due(&gap), Some(5 + 30 * S));
        let average = Rules { gap: 0, ..RULES };
        assert_eq!(pace.due(&average), Some(5 + 2 * S));
    }

    #[test]
    fn time_that_was_ours_is_forgiven() {
        let mut pace = Pace::new(0);
        pace.hear(500, S);
        pace.forgive(11 * S);
        assert_eq!(pace.due(&RULES), Some(12 * S + S / 2));
        assert_eq!(pace.received(), 500);
    }
}
