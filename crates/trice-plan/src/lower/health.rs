//! The probe of a container: what the service says, over what the image says, over the defaults.
//!
//! Source: Compose Specification, `05-services.md`, "healthcheck"; moby `daemon/health.go` for the defaults.

use std::time::Duration;

use trice_model::health::{HealthSpec, Healthcheck};

const INTERVAL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(30);
const START_INTERVAL: Duration = Duration::from_secs(5);
const RETRIES: u32 = 3;

/// Returns the probe, or `None` if nobody gives a command or the service wants none.
pub(crate) fn lower(service: Option<&Healthcheck>, image: Option<&Healthcheck>) -> Option<HealthSpec> {
    let layers = [service, image].into_iter().flatten();
    let first = layers.clone().next()?;
    if first.disable {
        return None;
    }
    // Zero is how the field writes "not said".
    let time = |pick: fn(&Healthcheck) -> Option<Duration>| {
        layers.clone().filter_map(pick).find(|time| !time.is_zero())
    };
    Some(HealthSpec {
        test: layers.clone().find_map(|layer| layer.test.clone())?,
        interval: time(|layer| layer.interval).unwrap_or(INTERVAL),
        timeout: time(|layer| layer.timeout).unwrap_or(TIMEOUT),
        retries: layers
            .clone()
            .filter_map(|layer| layer.retries)
            .find(|retries| *retries > 0)
            .unwrap_or(RETRIES),
        start_period: time(|layer| layer.start_period).unwrap_or(Duration::ZERO),
        start_interval: time(|layer| layer.start_interval).unwrap_or(START_INTERVAL),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use trice_model::health::HealthTest;

    fn image() -> Healthcheck {
        Healthcheck {
            test: Some(HealthTest::Shell("image".to_owned())),
            interval: Some(Duration::from_secs(7)),
            retries: Some(9),
            ..Healthcheck::default()
        }
    }

    #[test]
    fn the_service_comes_before_the_image_and_the_image_before_the_defaults() {
        let service = Healthcheck {
            interval: Some(Duration::from_secs(1)),
            timeout: Some(Duration::ZERO),
            ..Healthcheck::default()
        };
        let spec = lower(Some(&service), Some(&image())).unwrap();
        assert_eq!(spec.test, HealthTest::Shell("image".to_owned()));
        assert_eq!((spec.interval.as_secs(), spec.retries), (1, 9));
        assert_eq!(
            (spec.timeout, spec.start_period, spec.start_interval),
            (TIMEOUT, Duration::ZERO, START_INTERVAL)
        );
    }

    #[test]
    fn a_service_can_switch_the_images_probe_off_and_times_alone_make_no_probe() {
        let off = Healthcheck { disable: true, ..Healthcheck::default() };
        assert_eq!(lower(Some(&off), Some(&image())), None);
        let times = Healthcheck { retries: Some(1), ..Healthcheck::default() };
        assert_eq!(lower(Some(&times), None), None);
        assert_eq!(lower(None, None), None);
    }
}
