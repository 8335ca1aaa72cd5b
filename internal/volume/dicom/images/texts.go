package images

import (
	"strings"

	"github.com/brainseg/brainseg/internal/volume/dicom/dataset"
)

// textTags are the elements of the patient and of the study that are kept for
// objects made from the images.
var textTags = []dataset.Tag{
	dataset.TagCharacterSet, dataset.TagStudyDate, dataset.TagStudyTime, dataset.TagAccessionNumber, dataset.TagReferringPhysician, dataset.TagStudyDescription,
	dataset.TagPatientName, dataset.TagPatientID, dataset.TagIssuerOfPatientID, dataset.TagBirthDate, dataset.TagSex, dataset.TagAge, dataset.TagHeight, dataset.TagWeight,
	dataset.TagIdentityRemoved, dataset.TagDeidentification, dataset.TagStudyID, dataset.TagLossy, dataset.TagLossyRatio, dataset.TagLossyMethod,
}

// textsOf takes the texts out of a data set, without padding.
func textsOf(set dataset.Set) map[uint32][]byte {
	texts := make(map[uint32][]byte)
	for _, t := range textTags {
		if text := strings.Trim(string(set.Elements[t].Bytes), " \x00"); text != "" {
			texts[uint32(t)] = []byte(text)
		}
	}
	return texts
}
