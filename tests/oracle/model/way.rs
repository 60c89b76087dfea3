//! The ways that messages take: which receivers get each of them.

use torq_message_sink::LeafReport;

/// Where a message goes from here on.
pub(super) enum Way {
    /// To that receiver.
    To(usize),
    /// To all of these, of which so many are waited for.
    All(usize, Vec<Self>),
    /// To one of these.
    One(Vec<Self>),
    /// To the one that its key belongs to.
    Shard(Vec<Self>),
    /// Wherever that leads, if it can keep up: nobody waits for it.
    Loose(Box<Self>),
}

/// To all of these.
pub(super) fn all<const N: usize>(ways: [Way; N]) -> Way {
    Way::All(N, ways.into())
}

/// To one of these.
pub(super) fn one<const N: usize>(ways: [Way; N]) -> Way {
    Way::One(ways.into())
}

/// What became of one message, as far as receivers know.
pub(super) trait Fate {
    /// Whether receiver `index` has it.
    fn has(&self, index: usize) -> bool;

    /// Whether there is a reason for it that receiver `index` has it not, who may be left behind if
    /// `loose`.
    fn is_excused(&self, index: usize, loose: bool) -> bool;
}

impl Way {
    /// How many messages have come here, by what the leaves say.
    pub(super) fn accepted(&self, leaves: &[LeafReport]) -> u64 {
        match self {
            Self::To(index) => leaves[*index].accepted.messages.unwrap_or(0),
            Self::All(_, ways) => {
                let mut each = ways.iter().map(|way| way.accepted(leaves));
                let first = each.next().expect("somebody");
                assert!(each.all(|other| other == first), "what one gets all get: {leaves:?}");
                first
            }
            Self::One(ways) | Self::Shard(ways) => {
                ways.iter().map(|way| way.accepted(leaves)).sum()
            }
            Self::Loose(way) => way.accepted(leaves),
        }
    }

    /// The same, summed over the branches.
    pub(super) fn accepted_by_branches(&self, leaves: &[LeafReport]) -> u64 {
        self.branches().iter().map(|way| way.accepted(leaves)).sum()
    }

    /// How many of the branches each message takes.
    pub(super) fn copies(&self) -> u64 {
        match self {
            Self::All(_, ways) => ways.len() as u64,
            _ => 1,
        }
    }

    fn branches(&self) -> &[Self] {
        match self {
            Self::All(_, ways) | Self::One(ways) | Self::Shard(ways) => ways,
            Self::To(_) | Self::Loose(_) => std::slice::from_ref(self),
        }
    }

    /// How many buffers a message comes into, where `buffer` says above which receiver which one
    /// is. None where that depends.
    pub(super) fn buffers(&self, buffer: &impl Fn(usize) -> usize) -> Option<u64> {
        if self.is_loose() {
            return None;
        }
        let receivers = self.receivers();
        if receivers.iter().all(|index| buffer(*index) == buffer(receivers[0])) {
            return Some(1);
        }
        match self {
            Self::All(needed, ways) if *needed == ways.len() => {
                ways.iter().map(|way| way.buffers(buffer)).sum()
            }
            Self::One(ways) | Self::Shard(ways) => {
                let first = ways[0].buffers(buffer);
                let all = ways.iter().all(|way| way.buffers(buffer) == first);
                first.filter(|_| all)
            }
            _ => None,
        }
    }

    fn receivers(&self) -> Vec<usize> {
        match self {
            Self::To(index) => vec![*index],
            Self::All(_, ways) | Self::One(ways) | Self::Shard(ways) => {
                ways.iter().flat_map(Self::receivers).collect()
            }
            Self::Loose(way) => way.receivers(),
        }
    }

    /// Whether there is a choice of targets.
    pub(super) fn has_targets(&self) -> bool {
        match self {
            Self::To(_) => false,
            Self::All(_, ways) | Self::Shard(ways) => ways.iter().any(Self::has_targets),
            Self::One(_) => true,
            Self::Loose(way) => way.has_targets(),
        }
    }

    /// Whether somebody here is not waited for.
    pub(super) fn is_loose(&self) -> bool {
        match self {
            Self::To(_) => false,
            Self::All(needed, ways) => *needed < ways.len() || ways.iter().any(Self::is_loose),
            Self::One(ways) | Self::Shard(ways) => ways.iter().any(Self::is_loose),
            Self::Loose(_) => true,
        }
    }

    /// Whether enough of those here have written all that they have.
    pub(super) fn is_flushed(&self, leaves: &[LeafReport]) -> bool {
        let done = |ways: &[Self]| ways.iter().filter(|way| way.is_flushed(leaves)).count();
        match self {
            Self::To(index) => leaves[*index].buffered.bytes == 0,
            Self::All(needed, ways) => done(ways) >= *needed,
            Self::One(ways) | Self::Shard(ways) => done(ways) == ways.len(),
            Self::Loose(_) => true,
        }
    }

    /// Whether a message has come to its end: all who should have it do.
    pub(super) fn has(&self, fate: &impl Fate) -> bool {
        match self {
            Self::To(index) => fate.has(*index),
            Self::All(_, ways) => ways.iter().all(|way| way.has(fate)),
            Self::One(ways) | Self::Shard(ways) => ways.iter().any(|way| way.has(fate)),
            Self::Loose(way) => way.has(fate),
        }
    }

    /// Whether a message is where it may be and nowhere else: at one target of several, at that of
    /// its key.
    pub(super) fn is_kept(&self, fate: &impl Fate, key: Option<u64>) -> bool {
        let kept = |ways: &[Self]| ways.iter().all(|way| way.is_kept(fate, key));
        match self {
            Self::To(_) => true,
            Self::All(_, ways) => kept(ways),
            Self::One(ways) => kept(ways) && ways.iter().filter(|way| way.has(fate)).count() <= 1,
            Self::Shard(ways) => {
                let mine = (key.unwrap_or(0) % ways.len() as u64) as usize;
                let others = || ways.iter().enumerate().filter(|(index, _)| *index != mine);
                let strayed =
                    others().any(|(_, way)| way.receivers().iter().any(|index| fate.has(*index)));
                kept(ways) && !strayed
            }
            Self::Loose(way) => way.is_kept(fate, key),
        }
    }

    /// Whether everybody who should have a message does, or there is a reason why not.
    pub(super) fn is_settled(&self, fate: &impl Fate, loose: bool) -> bool {
        match self {
            Self::To(index) => fate.has(*index) || fate.is_excused(*index, loose),
            Self::All(needed, ways) => {
                let loose = loose || *needed < ways.len();
                ways.iter().all(|way| way.is_settled(fate, loose))
            }
            Self::One(ways) | Self::Shard(ways) => {
                ways.iter().any(|way| way.is_settled(fate, loose))
            }
            Self::Loose(way) => way.is_settled(fate, true),
        }
    }
}
