//! Images, of what steps have made: a configuration, layers and names, and what is stated beside them.

use trice_dockerfile::graph::{Image, StepId};
use trice_image::digest::Digest;
use trice_image::images::build::{Attestation, Draft};
use trice_model::build_cache::CacheTarget;
use trice_model::image::RegistryRef;
use trice_model::time::Timestamp;

use crate::base;
use crate::builder::{now, seconds};
use crate::cache;
use crate::contexts::Brought;
use crate::error::{BuildError, StepError};
use crate::execute::Work;
use crate::provenance::{self, Facts};

impl Work<'_> {
    /// Makes the images, once all steps are carried out. Returns their ids.
    pub(crate) fn finish(
        &self,
        images: &[Image],
        brought: &Brought,
        began: Timestamp,
        names: &[RegistryRef],
    ) -> Result<Vec<String>, BuildError> {
        let mut drafts = self.drafts(images)?;
        for (number, (image, draft)) in images.iter().zip(&mut drafts).enumerate() {
            let step = StepId((self.steps.len() + number) as u32);
            draft.attestations = self.stated(image, &Digest::of(&draft.config), brought, began, step)?;
        }
        let store = &self.tools.images;
        let made = match store.unchanged(&drafts, names)? {
            Some(images) => images,
            None => store.commit(self.lease, &drafts, names)?,
        };
        Ok(made.into_iter().map(|image| image.id).collect())
    }

    /// Returns what the images are made of, and sends steps where the build says that they go.
    fn drafts(&self, images: &[Image]) -> Result<Vec<Draft>, BuildError> {
        let steps = self.cached_steps();
        let (mut documents, mut drafts) = (Vec::new(), Vec::new());
        for image in images {
            let layers = self.layers(image.result);
            let created = self.build.source_date_epoch.map_or_else(|| self.base_created(image), seconds);
            let document = image.finished(&layers.base, &layers.made, &created);
            let mut config = document.written();
            if let Some(rootfs) = &layers.rootfs {
                config = base::named_in(&config, rootfs);
            }
            if self.build.cache_to.contains(&CacheTarget::Inline) {
                config = cache::with_steps(&config, &cache::of_image(&steps, &document));
            }
            documents.push(document);
            drafts.push(Draft::new(config, layers.rootfs));
        }
        self.send_steps(&documents, &steps)?;
        Ok(drafts)
    }

    /// Returns what is to be stated about an image. Listing its software is the step `step`.
    fn stated(
        &self,
        image: &Image,
        id: &Digest,
        brought: &Brought,
        began: Timestamp,
        step: StepId,
    ) -> Result<Vec<Attestation>, BuildError> {
        let mut attestations = Vec::new();
        if let Some(sbom) = &self.build.sbom {
            let layers = image.result.map(|result| self.layers_of(result)).unwrap_or_default();
            let listed = self.sbom(sbom, id, &layers, step).map_err(|source| match source {
                StepError::Cancelled => BuildError::Cancelled,
                source => BuildError::Sbom {
                    generator: sbom.generator.to_string(),
                    source: Box::new(source),
                    output: self.last_lines(step),
                },
            });
            attestations.extend(listed?);
        }
        if let Some(provenance) = &self.build.provenance {
            let facts = Facts {
                build: self.build,
                script: self.script,
                source: brought.source.as_ref(),
                contexts: &brought.others,
                steps: self.steps,
                materials: &self.materials(),
                result: image.result,
                times: (began, now()),
            };
            let known = |basis: &Digest| self.tools.images.attestations(id, basis);
            attestations.push(provenance::attestation(provenance, &facts, id, known)?);
        }
        Ok(attestations)
    }
}
