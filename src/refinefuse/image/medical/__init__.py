"""Medical volumes: DICOM series and NIfTI files, their geometry and their units. Not a medical device."""
