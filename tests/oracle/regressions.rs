//! Inputs that once found something, each as short as it could be made.
//!
//! They say what they say only as long as the model asks for the same choices in the same order.
//! Whoever changes that breaks the library again, as told here, and lets the fuzz target
//! `operations` find it.

use super::model::Nestings;

/// What went wrong, and the choices that showed it.
pub(crate) const INPUTS: &[(&str, &[u8])] = &[
    (
        "an eager link woke a closed sink",
        &[163, 0, 1, 3, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 30, 0, 3, 22, 32, 22, 22],
    ),
    (
        "what a half-closed peer had said turned the end of its connection into a reset",
        &[
            194, 4, 1, 0, 1, 2, 1, 1, 1, 39, 1, 0, 1, 3, 0, 0, 0, 0, 0, 0, 0, 2, 17, 50, 1, 19, 4,
            13, 29, 0, 46, 1, 16, 13, 21, 11, 0, 0, 45, 17, 17,
        ],
    ),
    (
        "a message was accepted over a link that had just fallen asleep, and did not wake it",
        &[
            233, 25, 1, 1, 0, 3, 7, 2, 1, 1, 3, 1, 23, 56, 46, 1, 58, 29, 17, 21, 1, 11, 1, 16, 2,
            0, 2, 0, 22, 1, 1, 47, 0, 39, 0, 0, 1, 27, 39, 1, 0,
        ],
    ),
    (
        "a flush that ended what a refused feed had begun left a link asleep under an open window",
        &[
            0, 3, 3, 0, 0, 0, 0, 2, 1, 1, 3, 5, 17, 8, 0, 1, 0, 29, 59, 41, 49, 0, 16, 22, 55, 3,
            18, 12, 1, 36, 1, 7, 40, 59, 0, 25, 3,
        ],
    ),
    (
        "a closed sink was ready for a message of no bytes",
        &[15, 0, 0, 122, 8, 188, 122, 159, 123, 95, 50, 95, 1, 181, 30, 88, 50, 95, 95],
    ),
];

/// Seeds that found something, and among which stacks. They say no more than the inputs above.
pub(crate) const SEEDS: &[(&str, Nestings, u64)] = &[
    ("a connection begins behind what was dropped before its first write", Nestings::Gating, 226),
    ("a wait for others sets a child going that has given up", Nestings::Isolated, 4658),
    ("a failover over sinks that was closing accepted a message", Nestings::Mixed, 80),
    ("a queue without room never waited for the sink below it", Nestings::Mixed, 104),
    ("a shared sink whose room is promised said that nobody tried", Nestings::Shared, 79),
];
