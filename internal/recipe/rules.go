package recipe

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// What Greengrass knows, and of that what both nuclei do.
var (
	architectures = []string{"amd64", "aarch64", "arm", "x86"}
	steps         = []string{"bootstrap", "install", "startup", "run"}
	permissions   = []string{"", "NONE", "OWNER", "ALL"}
	operations    = map[string][]string{
		"aws.greengrass.ipc.pubsub":    {"aws.greengrass#PublishToTopic", "aws.greengrass#SubscribeToTopic"},
		"aws.greengrass.ipc.mqttproxy": {"aws.greengrass#PublishToIoTCore", "aws.greengrass#SubscribeToIoTCore"},
	}
	variables = []string{"{artifacts:path}", "{artifacts:decompressedPath}", "{work:path}", "{kernel:rootPath}", "{iot:thingName}"}
)

// maxScript is the longest script of nucleus lite, bytes.
const maxScript = 10_000

// checks collects what is wrong.
type checks struct{ errs []error }

func (c *checks) fail(format string, values ...any) {
	c.errs = append(c.errs, fmt.Errorf(format, values...))
}

// require fails unless ok.
func (c *checks) require(ok bool, format string, values ...any) {
	if !ok {
		c.fail(format, values...)
	}
}

func (c *checks) document(d document) {
	c.require(d.FormatVersion == "2020-01-25", "RecipeFormatVersion is %q and must be 2020-01-25", d.FormatVersion)
	c.require(namePattern.MatchString(d.Name), "ComponentName %q must have 1 to 128 letters, digits, dots, hyphens and underscores", d.Name)
	c.require(validVersion(d.Version), "ComponentVersion %q must be a semantic version of at most 64 bytes", d.Version)
	for name, dependency := range d.Dependencies {
		c.require(namePattern.MatchString(name), "the name of dependency %q must have 1 to 128 letters, digits, dots, hyphens and underscores", name)
		c.require(dependency.VersionRequirement != "", "dependency %s has no VersionRequirement", name)
		c.require(slices.Contains([]string{"HARD", "SOFT"}, dependency.DependencyType),
			"dependency %s has DependencyType %q, and must say HARD or SOFT: left out it is hard on the classic nucleus and nothing on lite", name, dependency.DependencyType)
	}
	c.accessControl(d.Name, d.Configuration.Default)
	c.require(len(d.Manifests) > 0, "there is no manifest")
	seen := make(map[Platform]bool)
	for i, m := range d.Manifests {
		if m.Name == "" {
			m.Name = fmt.Sprintf("%d", i)
		}
		c.require(!seen[m.Platform], "manifest %s is for the same platform as one before it, which wins", m.Name)
		seen[m.Platform] = true
		c.manifest(m, d.Configuration.Default)
	}
}

func (c *checks) manifest(m Manifest, configuration map[string]any) {
	p := m.Platform
	c.require(p.OS == "linux", "manifest %s: platform os is %q and must be linux", m.Name, p.OS)
	c.require(p.Runtime == "*", "manifest %s: platform runtime is %q; only \"*\" matches on both nuclei", m.Name, p.Runtime)
	c.require(p.Architecture == "" || slices.Contains(architectures, p.Architecture),
		"manifest %s: architecture is %q and must be one of %s", m.Name, p.Architecture, strings.Join(architectures, ", "))
	var unpacked []string
	for _, a := range m.Artifacts {
		base := path.Base(a.URI)
		c.require(strings.HasPrefix(a.URI, "s3://") && strings.Count(a.URI, "/") >= 3 && base != "", "manifest %s: artifact %q must be s3://bucket/key", m.Name, a.URI)
		switch a.Unarchive {
		case "", "NONE":
		case "ZIP":
			c.require(strings.HasSuffix(base, ".zip"), "manifest %s: artifact %s is unpacked and must end in .zip", m.Name, base)
			unpacked = append(unpacked, strings.TrimSuffix(base, ".zip"))
		default:
			c.fail("manifest %s: Unarchive is %q and must be NONE or ZIP", m.Name, a.Unarchive)
		}
		c.require(slices.Contains(permissions, a.Permission.Read), "manifest %s: Permission.Read is %q and must be NONE, OWNER or ALL", m.Name, a.Permission.Read)
		c.require(slices.Contains(permissions, a.Permission.Execute), "manifest %s: Permission.Execute is %q and must be NONE, OWNER or ALL", m.Name, a.Permission.Execute)
	}
	c.require(len(m.Lifecycle) > 0, "manifest %s has no Lifecycle", m.Name)
	for key, step := range m.Lifecycle {
		where := fmt.Sprintf("manifest %s: Lifecycle.%s", m.Name, key)
		if !slices.Contains(steps, key) {
			c.fail("%s is not done by both nuclei, which have %s, spelt so", where, strings.Join(steps, ", "))
			continue
		}
		if step.node != nil {
			if err := decodeStrictly(step.node, new(plainStep)); err != nil {
				c.fail("%s: %w", where, err)
			}
		}
		c.require(!step.RequiresPrivilege, "%s asks for root", where)
		c.require(step.Timeout >= 0, "%s has a negative Timeout", where)
		c.script(where, step.Script, unpacked, configuration)
		if key == "startup" {
			lines := strings.Split(strings.TrimSpace(step.Script), "\n")
			c.require(ends.MatchString(lines[len(lines)-1]), "%s must end with exec or exit: nucleus lite adds commands of its own behind it, which fail where systemd is older than 253, and else hide a failure", where)
		}
	}
	_, starts := m.Lifecycle["startup"]
	_, runs := m.Lifecycle["run"]
	c.require(!starts || !runs, "manifest %s has both startup and run", m.Name)
}

var (
	ends                  = regexp.MustCompile(`^\s*(exec\s|exit\b)`)
	configurationVariable = regexp.MustCompile(`^\{configuration:(/[^{}]+)\}$`)
	decompressed          = regexp.MustCompile(`\{artifacts:decompressedPath\}/([^/\s"']*)`)
)

// script finds the braces at which nucleus lite would cut a script, and folders
// that no artifact is unpacked to.
func (c *checks) script(where, script string, unpacked []string, configuration map[string]any) {
	c.require(strings.TrimSpace(script) != "", "%s has no Script", where)
	c.require(len(script) <= maxScript, "%s has a Script of %d bytes, and nucleus lite takes %d", where, len(script), maxScript)
	for rest := script; ; {
		start := strings.IndexAny(rest, "{}")
		if start < 0 {
			break
		}
		end := strings.IndexByte(rest, '}')
		if rest[start] == '}' || end < 0 {
			c.fail("%s has a stray brace: nucleus lite cuts the script there", where)
			break
		}
		variable := rest[start : end+1]
		rest = rest[end+1:]
		if pointer := configurationVariable.FindStringSubmatch(variable); pointer != nil {
			c.require(hasDefault(configuration, pointer[1]), "%s uses %s, for which DefaultConfiguration has no value", where, variable)
			continue
		}
		c.require(slices.Contains(variables, variable), "%s has %s, which nucleus lite does not know and cuts the script at", where, variable)
	}
	for _, match := range decompressed.FindAllStringSubmatch(script, -1) {
		c.require(slices.Contains(unpacked, match[1]), "%s uses the folder %s, to which no artifact of the manifest is unpacked", where, match[1])
	}
}

// hasDefault reports whether a JSON pointer leads to a value that is not a
// container.
func hasDefault(configuration map[string]any, pointer string) bool {
	var v any = configuration
	for _, key := range strings.Split(strings.TrimPrefix(pointer, "/"), "/") {
		container, ok := v.(map[string]any)
		if !ok {
			return false
		}
		if v, ok = container[key]; !ok {
			return false
		}
	}
	_, container := v.(map[string]any)
	return v != nil && !container
}

// accessControl holds policies to exact operations and topics.
func (c *checks) accessControl(component string, configuration map[string]any) {
	services, present := configuration["accessControl"]
	if !present {
		return
	}
	if _, ok := services.(map[string]any); !ok {
		c.fail("accessControl must be an object of services")
		return
	}
	for _, p := range policies(configuration) {
		known := operations[p.service]
		c.require(known != nil, "accessControl: service %s is not one of those that the project uses", p.service)
		c.require(strings.HasPrefix(p.id, component+":"), "accessControl: policy id %s must begin with %s: to be the only one on the device", p.id, component)
		for key := range p.content {
			c.require(slices.Contains([]string{"policyDescription", "operations", "resources"}, key), "accessControl: policy %s has the unknown key %s", p.id, key)
		}
		allowed, _ := p.content["operations"].([]any)
		c.require(len(allowed) > 0, "accessControl: policy %s allows no operations", p.id)
		for _, operation := range allowed {
			text, _ := operation.(string)
			c.require(slices.Contains(known, text), "accessControl: policy %s: operation %v must be one of %s", p.id, operation, strings.Join(known, ", "))
		}
		resources, _ := p.content["resources"].([]any)
		c.require(len(resources) > 0, "accessControl: policy %s names no resources", p.id)
		for _, resource := range resources {
			text, _ := resource.(string)
			c.require(text != "" && !strings.ContainsAny(text, "*+#?"), "accessControl: policy %s: resource %v must be an exact topic", p.id, resource)
		}
	}
}
