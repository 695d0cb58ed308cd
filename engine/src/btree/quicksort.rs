//! The quicksort of Bentley and McIlroy (Engineering a Sort Function, 1993), which the server sorts by.
//!
//! ```text
//! [ pivot, equal | less | not looked at | greater | equal ]  ─►  [ less | equal | greater ]
//! ```
//!
//! It does not keep equal ones in their order, but always leaves them in the same one: who goes by the first of them must sort
//! alike. A few are sorted by insertion, and what is in order is left alone.

/// Sorts by a key.
pub(super) fn sort_by_key<T>(items: &mut [T], key: &impl Fn(&T) -> i32) {
    /// Fewer are sorted by insertion; this many have their middle one as pivot.
    const FEW: usize = 7;
    /// Of more the pivot is the median of three medians.
    const MANY: usize = 40;
    let count = items.len();
    if count < FEW {
        for end in 1..count {
            let mut at = end;
            while at > 0 && key(&items[at - 1]) > key(&items[at]) {
                items.swap(at - 1, at);
                at -= 1;
            }
        }
        return;
    }
    if items.is_sorted_by_key(key) {
        return;
    }
    let of_three = |places: [usize; 3]| median(places, &|place: usize| key(&items[place]));
    let mut middle = count / 2;
    if count > FEW {
        let (mut first, mut last) = (0, count - 1);
        if count > MANY {
            let step = count / 8;
            first = of_three([first, first + step, first + 2 * step]);
            middle = of_three([middle - step, middle, middle + step]);
            last = of_three([last - 2 * step, last - step, last]);
        }
        middle = of_three([first, middle, last]);
    }
    items.swap(0, middle);
    let pivot = key(&items[0]);
    // Those that are equal to it are gathered at both ends: up to `equal`, and from behind `equals` on.
    let (mut equal, mut low) = (1, 1);
    let (mut high, mut equals) = (count - 1, count - 1);
    loop {
        while low <= high && key(&items[low]) <= pivot {
            if key(&items[low]) == pivot {
                items.swap(equal, low);
                equal += 1;
            }
            low += 1;
        }
        while low <= high && key(&items[high]) >= pivot {
            if key(&items[high]) == pivot {
                items.swap(high, equals);
                equals -= 1;
            }
            high -= 1;
        }
        if low > high {
            break;
        }
        items.swap(low, high);
        (low, high) = (low + 1, high - 1);
    }
    let (less, greater) = (low - equal, equals - high);
    swap_ends(&mut items[..low], equal.min(less));
    swap_ends(&mut items[low..], greater.min(count - 1 - equals));
    sort_by_key(&mut items[..less], key);
    sort_by_key(&mut items[count - greater..], key);
}

/// The place of the middle one of three keys.
fn median([one, two, three]: [usize; 3], key: &impl Fn(usize) -> i32) -> usize {
    let [a, b, c] = [one, two, three].map(key);
    match (a < b, a < c) {
        (true, _) if b < c => two,
        (false, _) if b > c => two,
        (true, true) | (false, false) => three,
        (true, false) | (false, true) => one,
    }
}

/// Exchanges the first so many with the last.
fn swap_ends<T>(items: &mut [T], count: usize) {
    let (first, last) = items.split_at_mut(items.len() - count);
    first[..count].swap_with_slice(last);
}

#[cfg(test)]
mod tests {
    use super::sort_by_key;

    #[test]
    fn all_are_sorted_and_none_is_lost() {
        let mut random = fastrand::Rng::with_seed(1);
        for count in 0..500 {
            let keys = 1 + random.i32(..count + 1);
            let mut items: Vec<(i32, i32)> =
                (0..count).map(|at| (random.i32(..keys), at)).collect();
            let mut expected = items.clone();
            sort_by_key(&mut items, &|item| item.0);
            assert!(items.is_sorted_by_key(|item| item.0), "{items:?}");
            expected.sort_unstable();
            items.sort_unstable();
            assert_eq!(items, expected);
        }
    }

    /// `SELECT i FROM generate_series(0, count - 1) i ORDER BY i * i * 7 % modulus`, of a server.
    #[test]
    fn equal_ones_come_in_the_order_of_a_servers() {
        let order = |count: i32, modulus: i32| {
            let mut places: Vec<i32> = (0..count).collect();
            sort_by_key(&mut places, &|place| place * place * 7 % modulus);
            places
        };
        assert_eq!(order(6, 4), [0, 2, 4, 1, 3, 5]);
        assert_eq!(order(10, 4), [2, 6, 4, 8, 0, 9, 1, 3, 5, 7]);
        let of_many = [
            0, 20, 50, 30, 10, 40, 44, 56, 14, 36, 16, 34, 4, 26, 24, 6, 54, 46, 37, 3, 7, 13, 17,
            23, 27, 33, 43, 47, 53, 57, 15, 45, 25, 55, 5, 35, 29, 31, 39, 11, 41, 1, 9, 59, 49,
            51, 21, 19, 48, 28, 38, 18, 2, 52, 42, 58, 22, 12, 8, 32,
        ];
        assert_eq!(order(60, 10), of_many);
    }
}
