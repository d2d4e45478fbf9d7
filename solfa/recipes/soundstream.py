"""SoundStream at 24 kHz: arXiv 2107.03312, trained as EnCodec is where its paper says nothing, or what cannot be followed here.

    solfa train soundstream -o runs/soundstream --task.train my_music/

From the paper: the networks, eight codebooks of 1024 of which every item draws a number, k-means and moving averages, hinge losses, the
discriminator of MelGAN at three rates beside one of an STFT of 1024 samples, six mel resolutions of 64 bands, no loss on the waveform.
16 x 32 and 80 x 2 codes, its other ways to 6 kbit/s, are `--task.codec.quantizer.codebooks 16 --task.codec.quantizer.codebook_size 32`.

Not as there: its weights (adversarial 1, features 100, spectra 1) are of sums over frames and bands, and it names neither optimizer nor
rate; both are EnCodec's here, with the gradients balanced. Logarithms of spectra are compared by their mean square with one weight (there
by the norm of a frame, by the root of half the window). The discriminator of the STFT is EnCodec's (there residual units).
"""

from dataclasses import replace

from solfa.codecs import encodec
from solfa.recipes import encodec_24khz
from solfa.train.codec import CodecTaskConfig
from solfa.train.discriminators import DiscriminatorConfig, ScaleConfig, WaveConfig
from solfa.train.recipe import Recipe
from solfa.train.reconstruction import encodec_spectral

WINDOWS = (64, 128, 256, 512, 1024, 2048)
WAVES = WaveConfig(rates=(1, 2, 4), down="pool", slope=0.2)


def soundstream() -> Recipe[CodecTaskConfig]:
    """From scratch: 400,000 steps of 64 crops of a second, as EnCodec."""
    recipe = encodec_24khz.encodec_24khz()
    task = replace(
        recipe.task,
        codec=encodec.soundstream(),
        weights=replace(recipe.task.weights, mae=0.0),
        discriminator=DiscriminatorConfig(
            periods=None, waves=WAVES, scales=ScaleConfig(windows=(1024,)), bands=None, remove_dc=False, peak=None
        ),
        spectral=replace(encodec_spectral(), windows=WINDOWS, bands=(64,) * len(WINDOWS)),
    )
    return Recipe(task, recipe.train)


def tiny() -> Recipe[CodecTaskConfig]:
    """The same losses on a codec of 8 kHz that trains in seconds, to try a change."""
    recipe, small = soundstream(), encodec_24khz.tiny()
    codec = recipe.task.codec
    assert codec.seanet is not None and codec.decoder is not None
    codec = replace(
        codec,
        name="soundstream-tiny",
        sample_rate=8_000,
        latent_dim=16,
        seanet=replace(codec.seanet, dimension=16, n_filters=8, ratios=(4,)),
        decoder=replace(codec.decoder, dimension=16, n_filters=8, ratios=(4,)),
        quantizer=small.task.codec.quantizer,
        chunk=50,
    )
    judges = replace(
        recipe.task.discriminator,
        waves=replace(WAVES, rates=(1, 2), widths=(4, 8, 8), strides=(1, 4, 1), groups=(1, 2, 1)),
        scales=ScaleConfig(windows=(128,), filters=4),
    )
    task = replace(
        recipe.task,
        codec=codec,
        train=small.task.train,
        batch=small.task.batch,
        frames=small.task.frames,
        discriminator=judges,
        valid_items=small.task.valid_items,
    )
    return Recipe(task, small.train)
