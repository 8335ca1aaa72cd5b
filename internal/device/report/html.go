package report

import (
	"fmt"
	"html"
	"strings"
)

// volumesHTML is the rows of the table of tissues.
func (r Report) volumesHTML() string {
	var b strings.Builder
	for _, t := range r.Tissues {
		fmt.Fprintf(&b, "<tr><td><span class=\"key\" style=\"background:%s\"></span>%s</td><td>%.1f</td><td>%.3f</td><td>%d</td></tr>\n",
			html.EscapeString(t.Colour), html.EscapeString(t.Name), t.Millilitres, t.Fraction, t.Voxels)
	}
	fmt.Fprintf(&b, "<tr><td><strong>brain</strong></td><td><strong>%.1f</strong></td><td></td><td></td></tr>\n", r.BrainMillilitres)
	return b.String()
}

// qualityHTML is a paragraph for each flag, the score and the agreement.
func (r Report) qualityHTML() string {
	var b strings.Builder
	for _, f := range r.Quality.Flags {
		fmt.Fprintf(&b, "<p class=\"flag\"><strong>%s</strong>: %s</p>\n", html.EscapeString(f.Name), html.EscapeString(f.Text))
	}
	if len(r.Quality.Flags) == 0 {
		b.WriteString("<p class=\"good\">Nothing unusual was noticed. That is no promise: look at the pictures.</p>\n")
	}
	if r.Quality.Score != nil {
		fmt.Fprintf(&b, "<p>Score %.2f, from 0 to 1.</p>\n", *r.Quality.Score)
	}
	if r.Quality.Agreement > 0 {
		fmt.Fprintf(&b, "<p>The planes agree on %.3f of the tissue.</p>\n", r.Quality.Agreement)
	}
	return b.String()
}

// picturesHTML is two rows for each plane: the slices, and their tissues.
func picturesHTML(views []planeView) string {
	var b strings.Builder
	for _, v := range views {
		fmt.Fprintf(&b, "<h3>%s</h3>\n<div class=\"row\">", v.name)
		for _, p := range v.pictures {
			fmt.Fprintf(&b, "<figure><img src=\"%s\" alt=\"%s\" style=\"aspect-ratio:%d/%d\"></figure>", p.plain, p.caption, p.width, p.height)
		}
		b.WriteString("</div>\n<div class=\"row\">")
		for _, p := range v.pictures {
			fmt.Fprintf(&b, "<figure><img src=\"%s\" alt=\"%s, tissues in colour\" style=\"aspect-ratio:%d/%d\"><figcaption>%s</figcaption></figure>",
				p.overlay, p.caption, p.width, p.height, p.caption)
		}
		b.WriteString("</div>\n")
	}
	return b.String()
}

// originHTML is the rows that tell of scan, model and the reader's choices.
func (r Report) originHTML() string {
	var b strings.Builder
	row := func(name, text string) {
		fmt.Fprintf(&b, "<tr><th scope=\"row\">%s</th><td>%s</td></tr>\n", html.EscapeString(name), html.EscapeString(text))
	}
	g := r.Grid
	row("scan", fmt.Sprintf("%d x %d x %d voxels of %v x %v x %v mm, axes %s", g.Size[0], g.Size[1], g.Size[2], g.Spacing[0], g.Spacing[1], g.Spacing[2], g.Orientation))
	row("model", fmt.Sprintf("%s %s, sha256 %s", r.Model.Name, r.Model.Version, r.Model.SHA256))
	row("planes", fmt.Sprintf("%s; %d slices in %v s", strings.Join(r.Planes, ", "), r.Slices, r.Seconds))
	for _, w := range r.Warnings {
		row(w.Name, w.Text)
	}
	return b.String()
}
