//! Results that a client may not have received yet.

use super::input::Ticket;

/// Who waits for a result, and whether any client is known to have it.
///
/// A client whose deadline passed asks again and must then not be told that its name is taken. That it was sent an
/// answer proves nothing: it may have left while the answer was on its way, and no transport says whether it read it.
/// What proves it is a call that builds on the result. So an equal request gets the same result until such a call has
/// come. Reading proves nothing either: whoever lists pods can ask for the status of what is found there, as the
/// kubelet does.
#[derive(Debug)]
pub(crate) struct Delivery {
    tickets: Vec<Ticket>,
    stage: Stage,
}

/// How far a result is on its way to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// There is none yet, or it is not on disk yet.
    Pending,
    /// It can be given to everyone who asks for the same.
    Open,
    /// A client has it, or nobody shall get it.
    BuiltOn,
}

impl Delivery {
    pub(crate) fn new() -> Self {
        Self::at(Stage::Pending)
    }

    /// Of something that an earlier daemon made, as far as the record tells.
    pub(crate) fn at(stage: Stage) -> Self {
        Self { tickets: Vec::new(), stage }
    }

    /// Waits for the result.
    pub(crate) fn join(&mut self, ticket: Ticket) {
        self.tickets.push(ticket);
    }

    /// Calls that wait for the result.
    pub(crate) fn tickets(&self) -> impl Iterator<Item = Ticket> {
        self.tickets.iter().copied()
    }

    /// Somebody asks for what only makes sense with the result at hand.
    pub(crate) fn build_on(&mut self) {
        self.stage = Stage::BuiltOn;
    }

    /// What an equal request meets.
    pub(crate) fn stage(&self) -> Stage {
        self.stage
    }

    /// Whether it was not told to everyone who waits.
    pub(crate) fn is_due(&self) -> bool {
        self.stage == Stage::Pending || !self.tickets.is_empty()
    }

    /// The success stays open. Answers who is to be told of it.
    pub(crate) fn succeed(&mut self) -> Vec<Ticket> {
        if self.stage == Stage::Pending {
            self.stage = Stage::Open;
        }
        std::mem::take(&mut self.tickets)
    }

    /// An error is theirs alone who wait for it.
    pub(crate) fn fail(&mut self) -> Vec<Ticket> {
        std::mem::take(&mut self.tickets)
    }

    /// Clients that left.
    pub(crate) fn leave(&mut self, left: &[Ticket]) {
        self.tickets.retain(|ticket| !left.contains(ticket));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_stays_open_until_it_is_built_on() {
        let mut delivery = Delivery::new();
        delivery.join(Ticket(1));
        assert!(delivery.is_due());
        assert_eq!(delivery.succeed(), [Ticket(1)]);
        assert!(!delivery.is_due());
        assert_eq!(delivery.stage(), Stage::Open, "that it was sent proves nothing");
        delivery.build_on();
        assert_eq!(delivery.succeed(), []);
        assert_eq!(delivery.stage(), Stage::BuiltOn);
    }

    #[test]
    fn an_error_is_not_kept() {
        let mut delivery = Delivery::new();
        delivery.join(Ticket(1));
        assert_eq!(delivery.fail(), [Ticket(1)]);
        assert_eq!(delivery.stage(), Stage::Pending);
    }

    #[test]
    fn waiters_who_left_make_no_heap() {
        let mut delivery = Delivery::new();
        for number in 0..100 {
            delivery.join(Ticket(number));
            delivery.leave(&[Ticket(number)]);
        }
        assert!(delivery.tickets.is_empty());
    }
}
