use crate::{Result, Spread};

/// Several things that are measured in turn, round by round.
///
/// Every other round goes backwards. So whatever else the machine does at a time meets all of them.
#[derive(Clone, Debug)]
pub struct Comparison<T> {
    rounds: Vec<Vec<T>>,
}

impl<T> Comparison<T> {
    /// Of so many things.
    pub fn of(things: usize) -> Self {
        Self {
            rounds: (0..things).map(|_| Vec::new()).collect(),
        }
    }

    /// Measures each of them once more.
    ///
    /// # Errors
    /// One cannot be measured.
    pub async fn round(&mut self, measure: impl AsyncFn(usize) -> Result<T>) -> Result<()> {
        let things = self.rounds.len();
        let backwards = self
            .rounds
            .first()
            .is_some_and(|first| first.len() % 2 == 1);
        for at in 0..things {
            let thing = if backwards { things - 1 - at } else { at };
            self.rounds[thing].push(measure(thing).await?);
        }
        Ok(())
    }

    /// What was measured of this one.
    pub fn all(&self, thing: usize) -> &[T] {
        &self.rounds[thing]
    }

    /// A number of it.
    pub fn spread(&self, thing: usize, number: impl Fn(&T) -> f64) -> Spread {
        Spread::of(self.rounds[thing].iter().map(number)).unwrap_or(Spread::NONE)
    }

    /// How many times the `other` number this one is, in a round.
    pub fn times(&self, thing: usize, other: usize, number: impl Fn(&T) -> f64) -> Spread {
        let both = self.rounds[thing].iter().zip(&self.rounds[other]);
        Spread::of(both.map(|(this, other)| number(this) / number(other))).unwrap_or(Spread::NONE)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    #[tokio::test]
    async fn every_other_round_goes_backwards() {
        let (mut comparison, order) = (Comparison::of(3), RefCell::default());
        for _ in 0..2 {
            let measure = async |thing| {
                Vec::push(&mut order.borrow_mut(), thing);
                Ok(0.0)
            };
            comparison.round(measure).await.unwrap();
        }
        assert_eq!(order.into_inner(), [0, 1, 2, 2, 1, 0]);
    }

    #[tokio::test]
    async fn ratios_are_taken_within_a_round() {
        let (mut comparison, speed) = (Comparison::of(2), Cell::new(1.0));
        for _ in 0..3 {
            let measure = async |thing| Ok(speed.get() * [6.0, 2.0][thing]);
            comparison.round(measure).await.unwrap();
            speed.set(speed.get() * 10.0);
        }
        let times = comparison.times(0, 1, |number| *number);
        assert_eq!((times.lowest, times.highest), (3.0, 3.0));
        assert_eq!(comparison.spread(1, |number| *number).highest, 200.0);
    }
}
