//! Who is to blame for a refused insert: some of its rows, or the server. Pure: told of outcomes, says what is next.
//!
//! A refusal in words that speak of data is the rows': they are halved until the one is found. Words that speak of
//! the server are never a row's. All other words may be either: an outage of a disk, of S3 or of Keeper has hundreds
//! of codes. So they are held against a row only where it was refused again and again by itself while ClickHouse
//! accepted other rows of the same write; before that, everything is written again, as long as it takes.

use crate::store::StoreError;

/// Codes that speak of the rows: values that can't be read, are out of range, or violate a constraint.
const DATA_CODES: [u32; 19] = [
    6, 26, 27, 38, 41, 69, 70, 72, 117, 128, 131, 190, 321, 349, 407, 441, 469, 675, 691,
];
/// Codes that speak of the server: no table or database, files that can't be read or written, no memory or room, no
/// Keeper, system calls that failed, read-only, no rights, no S3. Those of an overloaded or absent server are
/// [`StoreError::Unavailable`] and its neighbours.
const SERVER_CODES: [u32; 13] = [60, 74, 75, 76, 81, 164, 173, 225, 243, 425, 497, 499, 516];
/// After so many refusals in words we don't know, the rows are looked at one by one.
const PATIENCE: u32 = 5;

/// Rows that are written together, by their indexes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Which rows.
    pub rows: Vec<usize>,
    /// Refusals in words we don't know, since it is this small.
    refusals: u32,
    /// Inserts that had been accepted when it, or what it was cut from, was first refused so.
    accepted_before: Option<u64>,
}

/// What follows from a refusal.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// This row can't be taken.
    Reject(usize),
    /// The pieces were cut smaller; on with the next.
    Halved,
    /// Nobody is to blame yet: this is to be written again, after a pause.
    Repeat(Piece),
}

/// One write on its way, in pieces.
#[derive(Debug)]
pub struct Bisection {
    /// The next one is last.
    open: Vec<Piece>,
    accepted: u64,
}

impl Bisection {
    /// All rows of a write, in one piece.
    pub fn new(rows: usize) -> Self {
        Self {
            open: vec![Piece::whole((0..rows).collect())],
            accepted: 0,
        }
    }

    /// What is to be written next; `None` when nothing is left.
    pub fn pop(&mut self) -> Option<Piece> {
        self.open.pop()
    }

    /// ClickHouse accepted a piece.
    pub fn accepted(&mut self) {
        self.accepted += 1;
    }

    /// What of a piece is still to be written.
    pub fn push(&mut self, piece: Piece) {
        if !piece.rows.is_empty() {
            self.open.push(piece);
        }
    }

    /// ClickHouse did not accept a piece.
    pub fn failed(&mut self, mut piece: Piece, error: &StoreError) -> Next {
        let StoreError::Refused { code, .. } = error else {
            return Next::Repeat(piece);
        };
        if SERVER_CODES.contains(code) {
            return Next::Repeat(piece);
        }
        if !DATA_CODES.contains(code) {
            let accepted_before = *piece.accepted_before.get_or_insert(self.accepted);
            piece.refusals += 1;
            if piece.refusals < PATIENCE {
                return Next::Repeat(piece);
            }
            if piece.rows.len() == 1 && self.accepted == accepted_before {
                return Next::Repeat(self.together_again(piece));
            }
        }
        match piece.rows.as_slice() {
            [row] => Next::Reject(*row),
            _ => {
                self.halve(piece);
                Next::Halved
            }
        }
    }

    fn halve(&mut self, piece: Piece) {
        let (left, right) = piece.rows.split_at(piece.rows.len() / 2);
        for half in [right, left] {
            self.open.push(Piece {
                rows: half.to_vec(),
                // A row by itself is given its own chances.
                refusals: if half.len() == 1 { 0 } else { piece.refusals },
                accepted_before: piece.accepted_before,
            });
        }
    }

    /// Nothing was accepted on the way down to this row, so it may not be the row's fault. It goes to the end, so that
    /// next time another one is looked at first.
    fn together_again(&mut self, last: Piece) -> Piece {
        let rows = self.open.drain(..).rev().flat_map(|piece| piece.rows);
        Piece::whole(rows.chain(last.rows).collect())
    }
}

impl Piece {
    fn whole(rows: Vec<usize>) -> Self {
        Self {
            rows,
            refusals: 0,
            accepted_before: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u32) -> StoreError {
        StoreError::Refused {
            code,
            message: String::new(),
        }
    }

    /// Writes rows into a table that answers by `insert`; gives the rejected rows and how many inserts it took.
    /// `None` when it does not come to an end.
    fn write(
        rows: usize,
        mut insert: impl FnMut(u32, &[usize]) -> Result<(), StoreError>,
    ) -> Option<(Vec<usize>, u32)> {
        let (mut bisection, mut rejected) = (Bisection::new(rows), Vec::new());
        for attempt in 0..2_000 {
            let Some(piece) = bisection.pop() else {
                rejected.sort_unstable();
                return Some((rejected, attempt));
            };
            match insert(attempt, &piece.rows) {
                Ok(()) => bisection.accepted(),
                Err(error) => match bisection.failed(piece, &error) {
                    Next::Reject(row) => rejected.push(row),
                    Next::Halved => {}
                    Next::Repeat(piece) => bisection.push(piece),
                },
            }
        }
        None
    }

    fn poison(code: u32, bad: &[usize]) -> impl FnMut(u32, &[usize]) -> Result<(), StoreError> {
        move |_, rows| match rows.iter().any(|row| bad.contains(row)) {
            true => Err(refused(code)),
            false => Ok(()),
        }
    }

    #[test]
    fn a_bad_row_is_found_whatever_the_code() {
        for code in [469, 12345] {
            for bad in [&[0][..], &[99], &[0, 1], &[3, 50, 51, 98]] {
                let (rejected, _) = write(100, poison(code, bad)).unwrap();
                assert_eq!(rejected, bad, "code {code}");
            }
        }
        assert_eq!(write(1, poison(469, &[0])), Some((vec![0], 1)));
    }

    #[test]
    fn an_outage_in_words_we_do_not_know_rejects_nothing_however_long_it_lasts() {
        for code in [49, 225, 243, 499, 1001, 12345] {
            for lasts in [1, 4, 7, 11, 100, 500, 1_500] {
                let outage = |attempt, _: &[usize]| {
                    if attempt < lasts {
                        Err(refused(code))
                    } else {
                        Ok(())
                    }
                };
                let (rejected, inserts) = write(1_000, outage).unwrap();
                assert_eq!(rejected, [0; 0], "code {code}");
                // It ends in large pieces: single rows would be too many parts.
                assert!(inserts <= lasts + 12, "{inserts} inserts");
            }
        }
        assert_eq!(
            write(1, poison(12345, &[0])),
            None,
            "one row alone proves nothing"
        );
    }

    #[test]
    fn an_outage_that_begins_while_a_bad_row_is_looked_for_rejects_no_other() {
        for begins in 1..20 {
            let mut bad = poison(469, &[41]);
            let both = |attempt, rows: &[usize]| {
                if (begins..begins + 300).contains(&attempt) {
                    Err(refused(1001))
                } else {
                    bad(attempt, rows)
                }
            };
            assert_eq!(write(100, both).unwrap().0, [41]);
        }
    }

    #[test]
    fn what_is_away_or_full_is_never_the_rows_fault() {
        for error in [
            refused(243),
            StoreError::Unavailable(String::new()),
            StoreError::TooCostly(String::new()),
        ] {
            let bad = |_, rows: &[usize]| match rows.contains(&7) {
                true => Err(error.clone()),
                false => Ok(()),
            };
            assert_eq!(write(100, bad), None);
        }
    }
}
