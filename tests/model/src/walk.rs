use stateright::{Chooser, Model, UniformChooser};

use crate::step::Action;

/// Chance with some patience: what ends something comes more seldom than what leads on. Otherwise hardly any walk would
/// come to a grant.
#[derive(Clone)]
pub(crate) struct Patient;

impl<M: Model<Action = Action>> Chooser<M> for Patient {
    type State = <UniformChooser as Chooser<M>>::State;

    fn new_state(&self, seed: u64) -> Self::State {
        Chooser::<M>::new_state(&UniformChooser, seed)
    }

    fn choose_initial_state(&self, chance: &mut Self::State, states: &[M::State]) -> usize {
        Chooser::<M>::choose_initial_state(&UniformChooser, chance, states)
    }

    fn choose_action(
        &self,
        chance: &mut Self::State,
        state: &M::State,
        actions: &[Action],
    ) -> usize {
        let mut roll = || Chooser::<M>::choose_action(&UniformChooser, chance, state, actions);
        let ends = |chosen: &usize| actions[*chosen].ends_something();
        let first = roll();
        (0..PATIENCE).fold(
            first,
            |chosen, _| if ends(&chosen) { roll() } else { chosen },
        )
    }
}

const PATIENCE: usize = 4;
