//! Decides what a request for trust leads to (PP-TRUST-9, PP-TRUST-10). Refuses to know how it arrived and how it is
//! carried out. There are three ways to be trusted without a person's word, and no list from elsewhere is a fourth.

/// What is known about the node that asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Circumstances {
    /// Trusted already.
    pub(super) trusted: bool,
    /// This node asked it, and waits.
    pub(super) outgoing: bool,
    /// Both are in a network other than the backbone, by the registry's word.
    pub(super) shared_network: bool,
    /// The host approves everyone.
    pub(super) auto_approve: bool,
    /// Trust was withdrawn within the last minutes.
    pub(super) cooling_down: bool,
}

/// What to do with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Tell it again.
    Confirm,
    /// Trust it and tell it.
    Approve,
    /// Leave it to a person.
    Ask,
}

/// Someone who was just refused by a person is not let in again by a rule.
pub(super) fn decide(circumstances: Circumstances) -> Decision {
    //= spec/trust.md#pp-trust-15
    //# No list from elsewhere makes a node trusted.
    let Circumstances { trusted, outgoing, shared_network, auto_approve, cooling_down } = circumstances;
    if trusted {
        Decision::Confirm
    //= spec/trust.md#pp-trust-1
    //# Trust needs both sides: neither is trusted before it asked or agreed itself.
    //= spec/trust.md#pp-trust-8
    //# Two nodes that asked each other trust each other without another word.
    } else if outgoing || ((shared_network || auto_approve) && !cooling_down) {
        Decision::Approve
    } else {
        Decision::Ask
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= spec/trust.md#pp-trust-15
    //= type=test
    //# No list from elsewhere makes a node trusted.
    //= spec/trust.md#pp-trust-10
    //= type=test
    //# A request from a member of a common network other than the backbone is approved at once.
    #[test]
    fn nobody_is_trusted_without_one_of_the_three_reasons() {
        let nothing = Circumstances::default();
        assert_eq!(decide(nothing), Decision::Ask);
        assert_eq!(decide(Circumstances { outgoing: true, ..nothing }), Decision::Approve);
        assert_eq!(decide(Circumstances { shared_network: true, ..nothing }), Decision::Approve);
        assert_eq!(decide(Circumstances { auto_approve: true, ..nothing }), Decision::Approve);
        assert_eq!(decide(Circumstances { trusted: true, ..nothing }), Decision::Confirm);
    }

    //= spec/trust.md#pp-trust-12
    //= type=test
    //# For 5 minutes after a revocation no rule and no relayed approval restores trust; an own request does.
    #[test]
    fn after_a_revocation_only_an_own_request_counts() {
        let revoked =
            Circumstances { cooling_down: true, shared_network: true, auto_approve: true, ..Default::default() };
        assert_eq!(decide(revoked), Decision::Ask);
        assert_eq!(decide(Circumstances { outgoing: true, ..revoked }), Decision::Approve);
    }
}
