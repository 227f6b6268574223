//! In which order the targets of a chain are tried: equals by lot, by their weights, then the fallbacks as they stand.
//! Must not know providers, failures or circuits.

use super::chance::Chance;

/// The indices of `targets` targets, of which the first have these weights and draw lots. A weight of 0 stands behind all others.
pub(super) fn drawn(weights: &[u32], targets: usize, chance: &Chance) -> Vec<usize> {
    let mut order: Vec<usize> = (0..targets).collect();
    let equals = weights.len().min(targets);
    for place in 0..equals.saturating_sub(1) {
        let left: u32 = order[place..equals].iter().map(|index| weights[*index]).sum();
        if left == 0 {
            break;
        }
        let mut lot = chance.below(left);
        let winner = (place..equals).find(|at| {
            let weight = weights[order[*at]];
            let wins = lot < weight;
            lot = lot.saturating_sub(weight);
            wins
        });
        // Rotated, not swapped: those that lose keep their order, so that weights of 0 stay as they were written.
        order[place..=winner.expect("the lot is below the sum")].rotate_right(1);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fallbacks_keep_their_places_behind_the_equals() {
        let chance = Chance::seeded(3);
        assert_eq!(drawn(&[], 3, &chance), [0, 1, 2]);
        assert_eq!(drawn(&[1], 3, &chance), [0, 1, 2]);
        assert_eq!(drawn(&[7], 0, &chance), [0_usize; 0]);
        for _ in 0..100 {
            let mut order = drawn(&[1, 2, 3], 5, &chance);
            assert_eq!(order[3..], [3, 4]);
            order.sort_unstable();
            assert_eq!(order, [0, 1, 2, 3, 4]);
        }
    }

    #[test]
    fn each_equal_is_first_as_often_as_its_weight_says() {
        let chance = Chance::seeded(3);
        let mut first = [0; 3];
        (0..10_000).for_each(|_| first[drawn(&[1, 2, 7], 3, &chance)[0]] += 1);
        for (count, expected) in first.into_iter().zip([1_000, 2_000, 7_000]) {
            assert!((expected - 200..expected + 200).contains(&count), "{first:?}");
        }
    }

    #[test]
    fn a_weight_of_0_comes_after_all_others_in_the_order_it_was_written() {
        let chance = Chance::seeded(3);
        for _ in 0..100 {
            let order = drawn(&[0, 5, 0, 1], 4, &chance);
            assert_eq!(order[2..], [0, 2]);
        }
        assert_eq!(drawn(&[0, 0, 0], 3, &chance), [0, 1, 2]);
    }

    #[test]
    fn the_largest_weights_do_not_overflow() {
        assert_eq!(drawn(&[1_000; 9], 9, &Chance::seeded(3)).len(), 9);
    }
}
