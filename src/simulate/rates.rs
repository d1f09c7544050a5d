//! The true rates of an invented carrier, which no worker can know.

use crate::simulate::process::JourneyStage;

/// What is true of a carrier besides [`true_hazard`].
pub struct TrueRates {
    /// The expected weight of the next event, by stage.
    pub next_weight: Vec<f64>,
}

impl TrueRates {
    pub fn new(stages: &[JourneyStage]) -> Self {
        let next_weight = stages
            .iter()
            .map(|stage| {
                let weights = stage
                    .next
                    .iter()
                    .map(|(next, chance)| chance * stages[*next].weight);
                weights.sum()
            })
            .collect();
        Self { next_weight }
    }
}

/// Events an hour at `time`, for a parcel that entered the stage at `since`.
pub fn true_hazard(stage: &JourneyStage, since: f64, time: f64) -> f64 {
    if stage.is_last() {
        return 0.0;
    }
    let active = stage.activity.active(time) - stage.activity.active(since);
    let (density, survival) = stage.dwell.density_and_survival(active);
    let goes_on = 1.0 - stage.stall;
    let left = goes_on * survival + stage.stall;
    goes_on * density / left.max(1e-12) * stage.activity.rate(time)
}
