package model

// Tensor is one of the graph's outputs.
type Tensor struct {
	Name, Type string
	Shape      []int64
}

// InputNames are the graph's inputs: the image, then the window and the switch of
// the scores where there are such.
func (m *Manifest) InputNames() []string {
	names := []string{m.Input.Name}
	if m.Normalisation.Kind == NormalisationPercentileWindow {
		names = append(names, m.Normalisation.Input)
	}
	if m.Scores != nil {
		names = append(names, m.Scores.Switch)
	}
	return names
}

// Outputs are the graph's outputs for an image of so many pixels, a multiple of
// Input.SizeMultiple: the mask or the scores in its place, then scores and judgement
// where there are such. scored says that the scores are asked for.
func (m *Manifest) Outputs(height, width int, scored bool) []Tensor {
	planes := []int64{1, int64(len(m.Classes)), int64(height), int64(width)}
	first := Tensor{m.Output.Name, m.Output.Type, planes}
	if m.Output.Layout == LayoutNHW {
		first.Shape = []int64{1, int64(height), int64(width)}
	}
	list := []Tensor{first}
	if m.Scores != nil {
		if !scored {
			planes = []int64{1, 1, 1, 1}
		}
		list = append(list, Tensor{m.Scores.Name, m.Scores.Type, planes})
	}
	if m.Judgement != nil {
		list = append(list, Tensor{m.Judgement.Name, TypeFloat32, []int64{2}})
	}
	return list
}
