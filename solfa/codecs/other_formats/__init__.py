"""Files of other programs: `.ecdc` of encodec and `.dac` of descript-audio-codec, read and written."""
