package dataset

// The elements that are read, by their standard keyword.
const (
	TagMediaStorageSOPClass Tag = 0x00020002
	TagMediaSOPInstance     Tag = 0x00020003
	TagTransferSyntax       Tag = 0x00020010
	TagImageType            Tag = 0x00080008
	TagSOPClass             Tag = 0x00080016
	TagSOPInstance          Tag = 0x00080018
	TagModality             Tag = 0x00080060
	TagSeriesDescription    Tag = 0x0008103e
	TagFrameType            Tag = 0x00089007
	TagPatientName          Tag = 0x00100010
	TagPatientID            Tag = 0x00100020
	TagContrastAgent        Tag = 0x00180010
	TagScanningSequence     Tag = 0x00180020
	TagSequenceName         Tag = 0x00180024
	TagRepetitionTime       Tag = 0x00180080
	TagEchoTime             Tag = 0x00180081
	TagInversionTime        Tag = 0x00180082
	TagProtocolName         Tag = 0x00181030
	TagTriggerTime          Tag = 0x00181060
	TagFlipAngle            Tag = 0x00181314
	TagPulseSequenceName    Tag = 0x00189005
	TagInversionTimes       Tag = 0x00189079
	TagEffectiveEchoTime    Tag = 0x00189082
	TagBValue               Tag = 0x00189087
	TagTimingSequence       Tag = 0x00189112
	TagEchoSequence         Tag = 0x00189114
	TagModifierSequence     Tag = 0x00189115
	TagFrameTypeSequence    Tag = 0x00189226
	TagImagesInMosaic       Tag = 0x0019100a
	TagSeries               Tag = 0x0020000e
	TagAcquisitionNumber    Tag = 0x00200012
	TagPosition             Tag = 0x00200032
	TagOrientation          Tag = 0x00200037
	TagFrameOfReference     Tag = 0x00200052
	TagTemporalPosition     Tag = 0x00200100
	TagStackID              Tag = 0x00209056
	TagInStackPosition      Tag = 0x00209057
	TagFrameContentSequence Tag = 0x00209111
	TagPositionSequence     Tag = 0x00209113
	TagOrientationSequence  Tag = 0x00209116
	TagTemporalIndex        Tag = 0x00209128
	TagSamplesPerPixel      Tag = 0x00280002
	TagPhotometric          Tag = 0x00280004
	TagNumberOfFrames       Tag = 0x00280008
	TagRows                 Tag = 0x00280010
	TagColumns              Tag = 0x00280011
	TagPixelSpacing         Tag = 0x00280030
	TagBitsAllocated        Tag = 0x00280100
	TagBitsStored           Tag = 0x00280101
	TagHighBit              Tag = 0x00280102
	TagPixelRepresentation  Tag = 0x00280103
	TagPixelPadding         Tag = 0x00280120
	TagPixelPaddingLimit    Tag = 0x00280121
	TagRescaleIntercept     Tag = 0x00281052
	TagRescaleSlope         Tag = 0x00281053
	TagModalityLUT          Tag = 0x00283000
	TagMeasuresSequence     Tag = 0x00289110
	TagTransformSequence    Tag = 0x00289145
	TagSharedGroups         Tag = 0x52009229
	TagPerFrameGroups       Tag = 0x52009230
	TagExtendedOffsetTable  Tag = 0x7fe00001
	TagFloatPixelData       Tag = 0x7fe00008
	TagDoubleFloatPixelData Tag = 0x7fe00009
	TagPixelData            Tag = 0x7fe00010

	// Of the patient and the study.
	TagCharacterSet       Tag = 0x00080005
	TagStudyDate          Tag = 0x00080020
	TagStudyTime          Tag = 0x00080030
	TagAccessionNumber    Tag = 0x00080050
	TagReferringPhysician Tag = 0x00080090
	TagStudyDescription   Tag = 0x00081030
	TagIssuerOfPatientID  Tag = 0x00100021
	TagBirthDate          Tag = 0x00100030
	TagSex                Tag = 0x00100040
	TagAge                Tag = 0x00101010
	TagHeight             Tag = 0x00101020
	TagWeight             Tag = 0x00101030
	TagIdentityRemoved    Tag = 0x00120062
	TagDeidentification   Tag = 0x00120063
	TagStudy              Tag = 0x0020000d
	TagStudyID            Tag = 0x00200010
	TagLossy              Tag = 0x00282110
	TagLossyRatio         Tag = 0x00282112
	TagLossyMethod        Tag = 0x00282114
)

// tagNames gives each element's keyword and VR by the standard's dictionary. A
// VR of "xs" is US or SS as PixelRepresentation says.
var tagNames = map[Tag]struct{ name, vr string }{
	TagMediaStorageSOPClass: {"MediaStorageSOPClassUID", "UI"},
	TagMediaSOPInstance:     {"MediaStorageSOPInstanceUID", "UI"},
	TagTransferSyntax:       {"TransferSyntaxUID", "UI"},
	TagImageType:            {"ImageType", "CS"},
	TagSOPClass:             {"SOPClassUID", "UI"},
	TagSOPInstance:          {"SOPInstanceUID", "UI"},
	TagModality:             {"Modality", "CS"},
	TagSeriesDescription:    {"SeriesDescription", "LO"},
	TagFrameType:            {"FrameType", "CS"},
	TagPatientName:          {"PatientName", "PN"},
	TagPatientID:            {"PatientID", "LO"},
	TagContrastAgent:        {"ContrastBolusAgent", "LO"},
	TagScanningSequence:     {"ScanningSequence", "CS"},
	TagSequenceName:         {"SequenceName", "SH"},
	TagRepetitionTime:       {"RepetitionTime", "DS"},
	TagEchoTime:             {"EchoTime", "DS"},
	TagInversionTime:        {"InversionTime", "DS"},
	TagProtocolName:         {"ProtocolName", "LO"},
	TagTriggerTime:          {"TriggerTime", "DS"},
	TagFlipAngle:            {"FlipAngle", "DS"},
	TagPulseSequenceName:    {"PulseSequenceName", "SH"},
	TagInversionTimes:       {"InversionTimes", "FD"},
	TagEffectiveEchoTime:    {"EffectiveEchoTime", "FD"},
	TagBValue:               {"DiffusionBValue", "FD"},
	TagTimingSequence:       {"MRTimingAndRelatedParametersSequence", "SQ"},
	TagEchoSequence:         {"MREchoSequence", "SQ"},
	TagModifierSequence:     {"MRModifierSequence", "SQ"},
	TagFrameTypeSequence:    {"MRImageFrameTypeSequence", "SQ"},
	TagImagesInMosaic:       {"NumberOfImagesInMosaic", "US"},
	TagSeries:               {"SeriesInstanceUID", "UI"},
	TagAcquisitionNumber:    {"AcquisitionNumber", "IS"},
	TagPosition:             {"ImagePositionPatient", "DS"},
	TagOrientation:          {"ImageOrientationPatient", "DS"},
	TagFrameOfReference:     {"FrameOfReferenceUID", "UI"},
	TagTemporalPosition:     {"TemporalPositionIdentifier", "IS"},
	TagStackID:              {"StackID", "SH"},
	TagInStackPosition:      {"InStackPositionNumber", "UL"},
	TagFrameContentSequence: {"FrameContentSequence", "SQ"},
	TagPositionSequence:     {"PlanePositionSequence", "SQ"},
	TagOrientationSequence:  {"PlaneOrientationSequence", "SQ"},
	TagTemporalIndex:        {"TemporalPositionIndex", "UL"},
	TagSamplesPerPixel:      {"SamplesPerPixel", "US"},
	TagPhotometric:          {"PhotometricInterpretation", "CS"},
	TagNumberOfFrames:       {"NumberOfFrames", "IS"},
	TagRows:                 {"Rows", "US"},
	TagColumns:              {"Columns", "US"},
	TagPixelSpacing:         {"PixelSpacing", "DS"},
	TagBitsAllocated:        {"BitsAllocated", "US"},
	TagBitsStored:           {"BitsStored", "US"},
	TagHighBit:              {"HighBit", "US"},
	TagPixelRepresentation:  {"PixelRepresentation", "US"},
	TagPixelPadding:         {"PixelPaddingValue", "xs"},
	TagPixelPaddingLimit:    {"PixelPaddingRangeLimit", "xs"},
	TagRescaleIntercept:     {"RescaleIntercept", "DS"},
	TagRescaleSlope:         {"RescaleSlope", "DS"},
	TagModalityLUT:          {"ModalityLUTSequence", "SQ"},
	TagMeasuresSequence:     {"PixelMeasuresSequence", "SQ"},
	TagTransformSequence:    {"PixelValueTransformationSequence", "SQ"},
	TagSharedGroups:         {"SharedFunctionalGroupsSequence", "SQ"},
	TagPerFrameGroups:       {"PerFrameFunctionalGroupsSequence", "SQ"},
	TagExtendedOffsetTable:  {"ExtendedOffsetTable", "OV"},
	TagFloatPixelData:       {"FloatPixelData", "OF"},
	TagDoubleFloatPixelData: {"DoubleFloatPixelData", "OD"},
	TagPixelData:            {"PixelData", "OW"},

	// Of the patient and the study.
	TagCharacterSet:       {"SpecificCharacterSet", "CS"},
	TagStudyDate:          {"StudyDate", "DA"},
	TagStudyTime:          {"StudyTime", "TM"},
	TagAccessionNumber:    {"AccessionNumber", "SH"},
	TagReferringPhysician: {"ReferringPhysicianName", "PN"},
	TagStudyDescription:   {"StudyDescription", "LO"},
	TagIssuerOfPatientID:  {"IssuerOfPatientID", "LO"},
	TagBirthDate:          {"PatientBirthDate", "DA"},
	TagSex:                {"PatientSex", "CS"},
	TagAge:                {"PatientAge", "AS"},
	TagHeight:             {"PatientSize", "DS"},
	TagWeight:             {"PatientWeight", "DS"},
	TagIdentityRemoved:    {"PatientIdentityRemoved", "CS"},
	TagDeidentification:   {"DeidentificationMethod", "LO"},
	TagStudy:              {"StudyInstanceUID", "UI"},
	TagStudyID:            {"StudyID", "SH"},
	TagLossy:              {"LossyImageCompression", "CS"},
	TagLossyRatio:         {"LossyImageCompressionRatio", "DS"},
	TagLossyMethod:        {"LossyImageCompressionMethod", "CS"},
}

// groupSequences are the sequences within functional groups that are read.
var groupSequences = map[Tag]bool{
	TagTimingSequence: true, TagEchoSequence: true, TagModifierSequence: true, TagFrameTypeSequence: true,
	TagFrameContentSequence: true, TagPositionSequence: true, TagOrientationSequence: true,
	TagMeasuresSequence: true, TagTransformSequence: true,
}

// Keyword is the standard's name of an element that is read.
func (t Tag) Keyword() string { return tagNames[t].name }
