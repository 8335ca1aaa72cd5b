package client

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/brainseg/brainseg/ggipc"
	"github.com/brainseg/brainseg/internal/device/cli/command"
	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/health"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/output"
)

// StatusCommand asks the component how it fares.
func StatusCommand() *cobra.Command {
	var timeout time.Duration
	var document bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Ask the running component how it fares",
		Long: "Ask the running component how it fares: what waits, what was answered and how fast, memory, what was lost.\n" +
			"It runs as a Greengrass component or under brainseg local: socket and token come from the environment.",
		Example: "  brainseg local -- brainseg status",
		Args:    command.Arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			s, err := askForHealth(ctx)
			if err != nil {
				return err
			}
			if document {
				encoder := json.NewEncoder(cmd.OutOrStdout())
				encoder.SetIndent("", "  ")
				return encoder.Encode(s)
			}
			return showHealth(cmd.OutOrStdout(), s)
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 10*time.Second, "for how long to wait for the answer")
	cmd.Flags().BoolVar(&document, "json", false, "print the status message, for programs")
	return cmd
}

// askForHealth returns the first status message that tells health.
func askForHealth(ctx context.Context) (request.Status, error) {
	client, err := ggipc.Connect(ctx, ggipc.Options{})
	if err != nil {
		return request.Status{}, err
	}
	defer client.Close()
	answers := make(chan request.Status, 1)
	if _, err := client.SubscribeToTopic(ctx, ggipc.SubscribeToTopicRequest{Topic: config.StatusTopic}, func(_ context.Context, m ggipc.TopicMessage) {
		var s request.Status
		if json.Unmarshal(m.Bytes(), &s) == nil && s.Health != nil {
			select {
			case answers <- s:
			default: // one is enough
			}
		}
	}); err != nil {
		return request.Status{}, err
	}
	for {
		if err := client.PublishToTopic(ctx, ggipc.PublishToTopicRequest{Topic: config.RequestTopic, Binary: []byte(health.Question)}); err != nil {
			return request.Status{}, err
		}
		select {
		case s := <-answers:
			return s, nil
		case <-time.After(2 * time.Second): // ask again: it may just be starting
		case <-ctx.Done():
			return request.Status{}, fmt.Errorf("no answer on topic %s: is the component running, and may this one subscribe?", config.StatusTopic)
		}
	}
}

// showHealth prints a status message with health for a person.
func showHealth(w io.Writer, s request.Status) error {
	h := s.Health
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	row := func(name, format string, values ...any) {
		fmt.Fprintf(table, "%s\t%s\n", name, output.Printable(fmt.Sprintf(format, values...)))
	}
	row("state", "%s, for %s", s.State, (time.Duration(h.UptimeSeconds) * time.Second).String())
	if h.Version != "" {
		row("version", "%s", h.Version)
	}
	if s.Model != nil {
		row("model", "%s %s", s.Model.Name, s.Model.Version)
	}
	if h.ConfigurationRefused {
		row("configuration", "that of the deployment cannot be used, the one before is in effect: see the log")
	}
	if h.Unanswered > 0 {
		row("in work", "%d requests, the oldest for %.1f s", h.Unanswered, h.OldestSeconds)
	} else {
		row("in work", "nothing")
	}
	row("answers", "%s", listed(h.Answers))
	if h.Latency != nil && h.Inference != nil {
		row("latency", "p50 %.1f ms, p95 %.1f, p99 %.1f, at most %.1f, of the last %d slices", h.Latency.P50, h.Latency.P95, h.Latency.P99, h.Latency.Max, h.Latency.Count)
		row("network", "p50 %.1f ms of it, p95 %.1f", h.Inference.P50, h.Inference.P95)
	}
	memory := fmt.Sprintf("%d MB, at most %d", h.Memory.Resident>>20, h.Memory.Peak>>20)
	if h.Memory.Limit > 0 {
		memory += fmt.Sprintf(", of %d", h.Memory.Limit>>20)
	}
	row("memory", "%s", memory)
	if m := h.Models; m.Loaded > 0 || m.Refused > 0 {
		row("new models", "%d took over, %d were refused", m.Loaded, m.Refused)
	}
	if t := h.Models.Trial; t != nil {
		row("trial", "%s %s, %s: agreement %.3f in %d of %d slices", t.Model.Name, t.Model.Version, t.State, t.Agreement, t.Slices, t.Of)
	}
	row("lost", "%s", listed(h.Lost))
	row("not sent yet", "%s", listed(h.Waiting))
	for _, kind := range slices.Sorted(maps.Keys(h.WaitingSeconds)) {
		if s := h.WaitingSeconds[kind]; s >= 60 {
			row("", "%s for %s", kind, time.Duration(s)*time.Second)
		}
	}
	if h.StuckReads > 0 {
		row("stuck reads", "%d: look after the mounts", h.StuckReads)
	}
	if h.HungInferences > 0 {
		row("hung", "the model %d times: see the log", h.HungInferences)
	}
	if h.DamagedStores > 0 {
		row("damaged", "%d databases were set aside: see the log", h.DamagedStores)
	}
	if h.Resubscribed > 0 {
		row("subscribed", "again %d times, %d of these because the nucleus had forgotten it", h.Resubscribed, h.Deaf)
	}
	return table.Flush()
}

// listed tells the counts that are not 0, the largest first.
func listed[N int | uint64](counts map[string]N) string {
	names := slices.Sorted(maps.Keys(counts))
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(counts[b], counts[a]) })
	var words []string
	for _, name := range names {
		if counts[name] > 0 {
			words = append(words, fmt.Sprintf("%d %s", counts[name], name))
		}
	}
	if words == nil {
		return "none"
	}
	return strings.Join(words, ", ")
}
