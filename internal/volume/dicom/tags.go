package dicom

// The elements that are read, by their standard keyword.
const (
	tagMediaStorageSOPClass tag = 0x00020002
	tagTransferSyntax       tag = 0x00020010
	tagImageType            tag = 0x00080008
	tagSOPClass             tag = 0x00080016
	tagSOPInstance          tag = 0x00080018
	tagModality             tag = 0x00080060
	tagSeriesDescription    tag = 0x0008103e
	tagFrameType            tag = 0x00089007
	tagPatientName          tag = 0x00100010
	tagPatientID            tag = 0x00100020
	tagContrastAgent        tag = 0x00180010
	tagScanningSequence     tag = 0x00180020
	tagSequenceName         tag = 0x00180024
	tagRepetitionTime       tag = 0x00180080
	tagEchoTime             tag = 0x00180081
	tagInversionTime        tag = 0x00180082
	tagProtocolName         tag = 0x00181030
	tagTriggerTime          tag = 0x00181060
	tagFlipAngle            tag = 0x00181314
	tagPulseSequenceName    tag = 0x00189005
	tagInversionTimes       tag = 0x00189079
	tagEffectiveEchoTime    tag = 0x00189082
	tagBValue               tag = 0x00189087
	tagTimingSequence       tag = 0x00189112
	tagEchoSequence         tag = 0x00189114
	tagModifierSequence     tag = 0x00189115
	tagFrameTypeSequence    tag = 0x00189226
	tagImagesInMosaic       tag = 0x0019100a
	tagSeries               tag = 0x0020000e
	tagAcquisitionNumber    tag = 0x00200012
	tagPosition             tag = 0x00200032
	tagOrientation          tag = 0x00200037
	tagFrameOfReference     tag = 0x00200052
	tagTemporalPosition     tag = 0x00200100
	tagStackID              tag = 0x00209056
	tagInStackPosition      tag = 0x00209057
	tagFrameContentSequence tag = 0x00209111
	tagPositionSequence     tag = 0x00209113
	tagOrientationSequence  tag = 0x00209116
	tagTemporalIndex        tag = 0x00209128
	tagSamplesPerPixel      tag = 0x00280002
	tagPhotometric          tag = 0x00280004
	tagNumberOfFrames       tag = 0x00280008
	tagRows                 tag = 0x00280010
	tagColumns              tag = 0x00280011
	tagPixelSpacing         tag = 0x00280030
	tagBitsAllocated        tag = 0x00280100
	tagBitsStored           tag = 0x00280101
	tagHighBit              tag = 0x00280102
	tagPixelRepresentation  tag = 0x00280103
	tagPixelPadding         tag = 0x00280120
	tagPixelPaddingLimit    tag = 0x00280121
	tagRescaleIntercept     tag = 0x00281052
	tagRescaleSlope         tag = 0x00281053
	tagModalityLUT          tag = 0x00283000
	tagMeasuresSequence     tag = 0x00289110
	tagTransformSequence    tag = 0x00289145
	tagSharedGroups         tag = 0x52009229
	tagPerFrameGroups       tag = 0x52009230
	tagExtendedOffsetTable  tag = 0x7fe00001
	tagFloatPixelData       tag = 0x7fe00008
	tagDoubleFloatPixelData tag = 0x7fe00009
	tagPixelData            tag = 0x7fe00010
)

// tagNames gives each element's keyword and VR by the standard's dictionary. A
// VR of "xs" is US or SS as PixelRepresentation says.
var tagNames = map[tag]struct{ name, vr string }{
	tagMediaStorageSOPClass: {"MediaStorageSOPClassUID", "UI"},
	tagTransferSyntax:       {"TransferSyntaxUID", "UI"},
	tagImageType:            {"ImageType", "CS"},
	tagSOPClass:             {"SOPClassUID", "UI"},
	tagSOPInstance:          {"SOPInstanceUID", "UI"},
	tagModality:             {"Modality", "CS"},
	tagSeriesDescription:    {"SeriesDescription", "LO"},
	tagFrameType:            {"FrameType", "CS"},
	tagPatientName:          {"PatientName", "PN"},
	tagPatientID:            {"PatientID", "LO"},
	tagContrastAgent:        {"ContrastBolusAgent", "LO"},
	tagScanningSequence:     {"ScanningSequence", "CS"},
	tagSequenceName:         {"SequenceName", "SH"},
	tagRepetitionTime:       {"RepetitionTime", "DS"},
	tagEchoTime:             {"EchoTime", "DS"},
	tagInversionTime:        {"InversionTime", "DS"},
	tagProtocolName:         {"ProtocolName", "LO"},
	tagTriggerTime:          {"TriggerTime", "DS"},
	tagFlipAngle:            {"FlipAngle", "DS"},
	tagPulseSequenceName:    {"PulseSequenceName", "SH"},
	tagInversionTimes:       {"InversionTimes", "FD"},
	tagEffectiveEchoTime:    {"EffectiveEchoTime", "FD"},
	tagBValue:               {"DiffusionBValue", "FD"},
	tagTimingSequence:       {"MRTimingAndRelatedParametersSequence", "SQ"},
	tagEchoSequence:         {"MREchoSequence", "SQ"},
	tagModifierSequence:     {"MRModifierSequence", "SQ"},
	tagFrameTypeSequence:    {"MRImageFrameTypeSequence", "SQ"},
	tagImagesInMosaic:       {"NumberOfImagesInMosaic", "US"},
	tagSeries:               {"SeriesInstanceUID", "UI"},
	tagAcquisitionNumber:    {"AcquisitionNumber", "IS"},
	tagPosition:             {"ImagePositionPatient", "DS"},
	tagOrientation:          {"ImageOrientationPatient", "DS"},
	tagFrameOfReference:     {"FrameOfReferenceUID", "UI"},
	tagTemporalPosition:     {"TemporalPositionIdentifier", "IS"},
	tagStackID:              {"StackID", "SH"},
	tagInStackPosition:      {"InStackPositionNumber", "UL"},
	tagFrameContentSequence: {"FrameContentSequence", "SQ"},
	tagPositionSequence:     {"PlanePositionSequence", "SQ"},
	tagOrientationSequence:  {"PlaneOrientationSequence", "SQ"},
	tagTemporalIndex:        {"TemporalPositionIndex", "UL"},
	tagSamplesPerPixel:      {"SamplesPerPixel", "US"},
	tagPhotometric:          {"PhotometricInterpretation", "CS"},
	tagNumberOfFrames:       {"NumberOfFrames", "IS"},
	tagRows:                 {"Rows", "US"},
	tagColumns:              {"Columns", "US"},
	tagPixelSpacing:         {"PixelSpacing", "DS"},
	tagBitsAllocated:        {"BitsAllocated", "US"},
	tagBitsStored:           {"BitsStored", "US"},
	tagHighBit:              {"HighBit", "US"},
	tagPixelRepresentation:  {"PixelRepresentation", "US"},
	tagPixelPadding:         {"PixelPaddingValue", "xs"},
	tagPixelPaddingLimit:    {"PixelPaddingRangeLimit", "xs"},
	tagRescaleIntercept:     {"RescaleIntercept", "DS"},
	tagRescaleSlope:         {"RescaleSlope", "DS"},
	tagModalityLUT:          {"ModalityLUTSequence", "SQ"},
	tagMeasuresSequence:     {"PixelMeasuresSequence", "SQ"},
	tagTransformSequence:    {"PixelValueTransformationSequence", "SQ"},
	tagSharedGroups:         {"SharedFunctionalGroupsSequence", "SQ"},
	tagPerFrameGroups:       {"PerFrameFunctionalGroupsSequence", "SQ"},
	tagExtendedOffsetTable:  {"ExtendedOffsetTable", "OV"},
	tagFloatPixelData:       {"FloatPixelData", "OF"},
	tagDoubleFloatPixelData: {"DoubleFloatPixelData", "OD"},
	tagPixelData:            {"PixelData", "OW"},

	// Of the patient and the study, for Origin.
	tagCharacterSet:       {"SpecificCharacterSet", "CS"},
	tagStudyDate:          {"StudyDate", "DA"},
	tagStudyTime:          {"StudyTime", "TM"},
	tagAccessionNumber:    {"AccessionNumber", "SH"},
	tagReferringPhysician: {"ReferringPhysicianName", "PN"},
	tagStudyDescription:   {"StudyDescription", "LO"},
	tagIssuerOfPatientID:  {"IssuerOfPatientID", "LO"},
	tagBirthDate:          {"PatientBirthDate", "DA"},
	tagSex:                {"PatientSex", "CS"},
	tagAge:                {"PatientAge", "AS"},
	tagHeight:             {"PatientSize", "DS"},
	tagWeight:             {"PatientWeight", "DS"},
	tagIdentityRemoved:    {"PatientIdentityRemoved", "CS"},
	tagDeidentification:   {"DeidentificationMethod", "LO"},
	tagStudy:              {"StudyInstanceUID", "UI"},
	tagStudyID:            {"StudyID", "SH"},
	tagLossy:              {"LossyImageCompression", "CS"},
	tagLossyRatio:         {"LossyImageCompressionRatio", "DS"},
	tagLossyMethod:        {"LossyImageCompressionMethod", "CS"},
}

// groupSequences are the sequences within functional groups that are read.
var groupSequences = map[tag]bool{
	tagTimingSequence: true, tagEchoSequence: true, tagModifierSequence: true, tagFrameTypeSequence: true,
	tagFrameContentSequence: true, tagPositionSequence: true, tagOrientationSequence: true,
	tagMeasuresSequence: true, tagTransformSequence: true,
}
