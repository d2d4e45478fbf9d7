"""Sound files in and out, resampling, spectra and loudness."""
