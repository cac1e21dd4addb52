//! Images on their way from registries and to them.
//!
//! Several go at the same time. Who asked and goes away takes the request along: what was fetched by then is thrown
//! away, what was sent is of use the next time.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use trice_api::event::{Amount, ObjectKind, OperationEvent, StepEvent, StepState};
use trice_api::fault::{Code, Fault};
use trice_api::image::{EnterRegistry, ListTags, PullImages, PushImages, RepositoryView, SearchImages};
use trice_image::registry::Registries;
use trice_model::image::{ImageRef, RegistryRef};
use trice_model::registry::RegistryAccess;

use super::{platform, stated};
use crate::failure;
use crate::gauge::Gauge;
use crate::serve::Service;
use crate::words;

/// How many images are on their way at the same time.
const AT_ONCE: usize = 4;

type Lines = mpsc::UnboundedReceiver<OperationEvent>;
type Listener = mpsc::UnboundedSender<OperationEvent>;

/// Fetches images.
pub(super) fn pull(call: PullImages, service: Service) -> Result<Lines, Fault> {
    let platform = platform(call.platform.as_deref())?;
    let registries = registries(call.access);
    let fetch = move |image: ImageRef, tell: Told| {
        let (platform, registries, backends) =
            (platform.clone(), registries.clone(), service.backends.clone());
        async move {
            let mut gauge = Gauge::new(|amount| tell.amount(amount));
            let mut heard = |progress| gauge.fetched(progress);
            let fetched = backends.images.fetch(&image, &platform, &registries, &mut heard).await;
            fetched.map(|_| None).map_err(|error| failure::of_image(&image, &error))
        }
    };
    Ok(side_by_side(call.images, words::fetching, fetch))
}

/// Sends images.
pub(super) fn push(call: PushImages, service: Service) -> Result<Lines, Fault> {
    let platform = stated(call.platform.as_deref())?;
    let registries = registries(call.access);
    let send = move |image: RegistryRef, tell: Told| {
        let (platform, registries, backends) =
            (platform.clone(), registries.clone(), service.backends.clone());
        async move {
            let mut gauge = Gauge::new(|amount| tell.amount(amount));
            let mut heard = |progress| gauge.sent(progress);
            let sent = backends.images.push(&image, platform.as_ref(), &registries, &mut heard).await;
            sent.map(|digest| Some(digest.to_string())).map_err(|error| failure::of_push(&image, &error))
        }
    };
    Ok(side_by_side(call.images, |_| ("Pushing", "Pushed"), send))
}

/// Returns the tags of a repository.
pub(super) async fn tags(call: ListTags) -> Result<Vec<String>, Fault> {
    let repository = &call.repository;
    let tags = registries(call.access).tags(repository).await;
    tags.map_err(|error| failure::of_registry(&repository.familiar_repository(), &error))
}

/// Looks for repositories.
pub(super) async fn search(call: SearchImages) -> Result<Vec<RepositoryView>, Fault> {
    let found = registries(call.access).search(&call.host, &call.words, call.most).await;
    let found = found.map_err(|error| failure::of_registry(&call.host, &error))?;
    let view = |found: trice_image::registry::listing::Found| RepositoryView {
        name: found.name,
        description: found.description,
        stars: found.stars,
        official: found.official,
    };
    Ok(found.into_iter().map(view).collect())
}

/// Finds out whether a registry lets the caller in.
pub(super) async fn enter(call: EnterRegistry) -> Result<(), Fault> {
    let entered = registries(call.access).ping(&call.host).await;
    entered.map_err(|error| failure::of_registry(&call.host, &error))
}

fn registries(access: RegistryAccess) -> Registries {
    Registries::new(access.settings, access.keyring)
}

/// Tells how one image does.
#[derive(Clone)]
struct Told {
    listener: Listener,
    step: StepEvent,
}

impl Told {
    fn tell(&self, state: StepState, amount: Option<Amount>, detail: Option<String>) {
        let step = StepEvent { state, amount, detail, ..self.step.clone() };
        // Who does not listen any more has ended the work too.
        let _ = self.listener.send(OperationEvent::Step(step));
    }

    fn amount(&self, amount: Amount) {
        self.tell(StepState::Working, Some(amount), None);
    }
}

/// Does the same with many images, and tells how each does. What fails with one does not stop the others.
fn side_by_side<I, F>(
    images: Vec<I>,
    words: impl Fn(&I) -> (&'static str, &'static str),
    work: impl Fn(I, Told) -> F + Send + Sync + 'static,
) -> Lines
where
    I: ToString + Send + 'static,
    F: Future<Output = Result<Option<String>, Fault>> + Send + 'static,
{
    let (listener, lines) = mpsc::unbounded_channel();
    let step = |image: &I| {
        let (doing, done) = words(image);
        let (doing, done) = (doing.to_owned(), done.to_owned());
        let (object, name, state) = (ObjectKind::Image, image.to_string(), StepState::Working);
        StepEvent { object, name, doing, done, state, detail: None, amount: None }
    };
    let images: Vec<_> = images.into_iter().map(|image| (step(&image), image)).collect();
    tokio::spawn(async move {
        let work = async {
            let (turns, mut tasks, mut faults) =
                (Arc::new(Semaphore::new(AT_ONCE)), JoinSet::new(), Vec::new());
            for (step, image) in images {
                let told = Told { listener: listener.clone(), step };
                let (job, turns) = (work(image, told.clone()), Arc::clone(&turns));
                tasks.spawn(async move {
                    let _turn = turns.acquire().await;
                    told.tell(StepState::Working, None, None);
                    let result = job.await;
                    let state = if result.is_ok() { StepState::Done } else { StepState::Failed };
                    told.tell(state, None, result.as_ref().ok().cloned().flatten());
                    result
                });
            }
            while let Some(ended) = tasks.join_next().await {
                let result = ended.unwrap_or_else(|error| Err(Fault::of(Code::Internal, &error)));
                faults.extend(result.err());
            }
            if faults.is_empty() { OperationEvent::Done } else { OperationEvent::Failed(faults) }
        };
        tokio::select! {
            event = work => drop(listener.send(event)),
            () = listener.closed() => {}
        }
    });
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_fails_with_one_image_does_not_stop_the_others() {
        let work = |image: String, _: Told| async move {
            if image == "bad" { Err(Fault::new(Code::Image, "no")) } else { Ok(Some("there".to_owned())) }
        };
        let images = vec!["bad".to_owned(), "good".to_owned()];
        let mut lines = side_by_side(images, |_| ("Pushing", "Pushed"), work);
        let mut told = Vec::new();
        while let Some(event) = lines.recv().await {
            told.push(match event {
                OperationEvent::Step(step) => format!("{} {:?} {:?}", step.name, step.state, step.detail),
                OperationEvent::Failed(faults) => format!("failed: {}", faults[0].message),
                other => format!("{other:?}"),
            });
        }
        told.sort();
        let expected = [
            "bad Failed None",
            "bad Working None",
            "failed: no",
            "good Done Some(\"there\")",
            "good Working None",
        ];
        assert_eq!(told, expected);
    }
}
