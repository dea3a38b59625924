//! What the image towers of CLIP and SigLIP share.

use super::lent::Lender;
use crate::config::Config;
use crate::layers::ImageShape;
use crate::{Error, Result};
use serde_json::Value;

/// The sizes of a tower, and where they are read.
pub(super) struct Tower {
    /// The part of the configuration that is about images.
    pub config: Config,
    /// Width of a token.
    pub width: usize,
    /// Width between the two layers of a feed-forward part.
    pub hidden: usize,
    /// Number of blocks.
    pub blocks: usize,
    /// Number of heads.
    pub heads: usize,
    /// Height and width of a patch.
    pub patch: usize,
    /// The images, of which the tokens are the patches.
    pub image: ImageShape,
}

impl Tower {
    /// The tower of `vision_config`, whose absent fields mean `patch` and the sizes that both families share.
    pub fn read(config: &Config, patch: usize) -> Result<Self> {
        let config = config.section("vision_config")?;
        let (width, heads) =
            (config.size_or("hidden_size", 768)?, config.size_or("num_attention_heads", 12)?);
        if !width.is_multiple_of(heads) {
            let expected = format!("a divisor of hidden_size = {width}");
            return Err(unfit(&config, "num_attention_heads", &expected));
        }
        let (size, patch) = (config.size_or("image_size", 224)?, config.size_or("patch_size", patch)?);
        if patch > size {
            return Err(unfit(&config, "patch_size", &format!("at most image_size = {size}")));
        }
        Ok(Tower {
            width,
            hidden: config.size_or("intermediate_size", 3072)?,
            blocks: config.layers_or("num_hidden_layers", 12)?,
            heads,
            patch,
            image: ImageShape {
                channels: config.size_or("num_channels", 3)?,
                size,
                tokens: (size / patch).pow(2),
            },
            config,
        })
    }

    /// Refuses a field of another value than the one that candle-transformers computes with.
    pub fn only(&self, field: &str, value: Value) -> Result<()> {
        self.config.only(field, &value)
    }

    /// Lends the weights of the blocks, by the names that both families have.
    pub fn blocks(&self, lender: &mut Lender<'_>) {
        for block in 0..self.blocks {
            let path = format!("encoder.layers.{block}");
            for projection in ["k_proj", "v_proj", "q_proj", "out_proj"] {
                lender.linear(&format!("{path}.self_attn.{projection}"), (self.width, self.width));
            }
            lender.norm(&format!("{path}.layer_norm1"), self.width);
            lender.linear(&format!("{path}.mlp.fc1"), (self.width, self.hidden));
            lender.linear(&format!("{path}.mlp.fc2"), (self.hidden, self.width));
            lender.norm(&format!("{path}.layer_norm2"), self.width);
        }
    }
}

fn unfit(config: &Config, field: &str, expected: &str) -> Error {
    config.unexpected(field, expected, config.fields.get(field))
}
