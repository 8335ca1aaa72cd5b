package claim

import "testing"

func TestNothingIsLeftOfClaimsWhateverBecomesOfTheirRequests(t *testing.T) {
	for name, course := range map[string]func(*Outputs, *Claim){
		"answered":                       func(_ *Outputs, c *Claim) { c.Settle(); c.Release() },
		"answered, and sent again":       func(_ *Outputs, c *Claim) { c.Settle(); c.Release(); c.Renew(); c.Renew(); c.Release() },
		"withdrawn":                      func(_ *Outputs, c *Claim) { c.Release() },
		"withdrawn, and its answer told": func(_ *Outputs, c *Claim) { c.Release(); c.Renew(); c.Release() },
		"moved and answered":             func(o *Outputs, c *Claim) { o.SetRoot("/b"); c.Settle(); o.SetRoot("/a"); c.Release() },
		"moved and withdrawn":            func(o *Outputs, c *Claim) { o.SetRoot("/b"); c.Release(); o.SetRoot("/a") },
		"released, and worked on":        func(_ *Outputs, c *Claim) { c.Release(); c.Settle() },
		"lost": func(o *Outputs, c *Claim) {
			o.SetRoot("/b")
			other, _ := o.Take("other", []string{"x.png"}, true)
			o.SetRoot("/c")
			other.Settle()
			c.Settle()
			if !c.Lost() || other.Lost() {
				t.Error("the later one has the output")
			}
			c.Renew()
			other.Release()
		},
	} {
		t.Run(name, func(t *testing.T) {
			var o Outputs
			o.SetRoot("/a")
			c, ok := o.Take("a", []string{"x.png", "s3://bucket/x.png"}, false)
			if !ok {
				t.Fatal("it is taken")
			}
			course(&o, c)
			if o.Held() != 0 || len(o.waiting) != 0 {
				t.Errorf("%d outputs are held: %v; %d claims wait", o.Held(), o.held, len(o.waiting))
			}
		})
	}
	var none *Claim
	none.Settle()
	none.Renew()
	if none.Release(); none.Lost() {
		t.Error("a request without outputs has lost one")
	}
}

func TestAnOutputHasOneNameHoweverItIsPutAndWhereverTheFolderIs(t *testing.T) {
	var o Outputs
	o.SetRoot("/a")
	first := o.Retake("first", []string{"day/x.png"}, false)
	free := func(want bool, name string) {
		t.Helper()
		c, ok := o.Take("next", []string{name}, false)
		if c.Release(); ok != want {
			t.Errorf("%s: %v, want %v", name, ok, want)
		}
	}
	free(false, "/a/day/x.png")
	free(false, "./day/../day/x.png")
	free(true, "x.png")
	o.SetRoot("/b")
	free(false, "day/x.png")
	free(true, "/a/day/x.png")
	first.Settle()
	o.SetRoot("/c")
	free(true, "day/x.png")
	free(false, "/b/day/x.png")
	if !o.Own("first", []string{"/b/day/x.png"}) || o.Own("next", []string{"/b/day/x.png"}) {
		t.Error("it is another's")
	}
}
