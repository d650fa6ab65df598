import java.io.PrintStream;
import java.lang.reflect.Array;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import javax.management.InstanceNotFoundException;
import javax.management.JMException;
import javax.management.MBeanAttributeInfo;
import javax.management.MBeanServerConnection;
import javax.management.ObjectName;
import javax.management.openmbean.CompositeData;
import javax.management.openmbean.TabularData;
import javax.management.remote.JMXConnector;
import javax.management.remote.JMXConnectorFactory;
import javax.management.remote.JMXServiceURL;

/**
 * Java's own JMX client as a witness: prints every readable attribute of every MBean, a JSON array
 * a line (MBean, attribute, type in its MBeanInfo, value). Usage: DumpAttributes PORT.
 *
 * A value is written so that two languages can write it alike: null, a boolean, an integer, a text
 * with its kind in front ("s:" string, "d:" the bits of a double or a float in hexadecimal digits,
 * "n:" ObjectName, "e:" enum constant, "?:" class of anything else), or a pair of a kind ("list",
 * "set", "map") and its elements. An attribute that cannot be read is "x:" and the exception.
 */
public final class DumpAttributes {
    public static void main(String[] arguments) throws Exception {
        String address = "service:jmx:rmi:///jndi/rmi://127.0.0.1:" + arguments[0] + "/jmxrmi";
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        try (JMXConnector connector = JMXConnectorFactory.connect(new JMXServiceURL(address))) {
            MBeanServerConnection server = connector.getMBeanServerConnection();
            for (ObjectName name : new TreeSet<>(server.queryNames(null, null))) {
                dump(server, name, out);
            }
        }
        out.flush();
    }

    private static void dump(MBeanServerConnection server, ObjectName name, PrintStream out)
            throws Exception {
        MBeanAttributeInfo[] attributes;
        try {
            attributes = server.getMBeanInfo(name).getAttributes();
        } catch (InstanceNotFoundException gone) {
            return;
        }
        for (MBeanAttributeInfo attribute : attributes) {
            if (!attribute.isReadable()) {
                continue;
            }
            String written;
            try {
                written = written(server.getAttribute(name, attribute.getName()));
            } catch (JMException | java.io.IOException | RuntimeException failure) {
                written = quoted("x:" + failure.getClass().getName());
            }
            out.println("[" + String.join(", ", quoted(name.toString()),
                    quoted(attribute.getName()), quoted(attribute.getType()), written) + "]");
        }
    }

    private static String written(Object value) {
        if (value == null || value instanceof Boolean) {
            return String.valueOf(value);
        }
        if (value instanceof Double || value instanceof Float) {
            long bits = Double.doubleToLongBits(((Number) value).doubleValue());
            return quoted("d:" + Long.toHexString(bits));
        }
        if (value instanceof Number && value.getClass().getName().startsWith("java.lang.")) {
            return value.toString();
        }
        if (value instanceof String || value instanceof Character) {
            return quoted("s:" + value);
        }
        if (value instanceof ObjectName) {
            return quoted("n:" + value);
        }
        if (value instanceof Enum) {
            return quoted("e:" + ((Enum<?>) value).name());
        }
        if (value instanceof CompositeData) {
            CompositeData row = (CompositeData) value;
            List<String> entries = new ArrayList<>();
            for (String key : row.getCompositeType().keySet()) {
                entries.add("[" + quoted("s:" + key) + ", " + written(row.get(key)) + "]");
            }
            return kind("map", entries, true);
        }
        if (value instanceof TabularData) {
            return kind("set", all(((TabularData) value).values()), true);
        }
        if (value instanceof Map) {
            List<String> entries = new ArrayList<>();
            for (Map.Entry<?, ?> entry : ((Map<?, ?>) value).entrySet()) {
                entries.add("[" + written(entry.getKey()) + ", " + written(entry.getValue()) + "]");
            }
            return kind("map", entries, true);
        }
        if (value instanceof Collection) {
            boolean unordered = value instanceof Set;
            return kind(unordered ? "set" : "list", all((Collection<?>) value), unordered);
        }
        if (value.getClass().isArray()) {
            List<String> elements = new ArrayList<>();
            for (int i = 0; i < Array.getLength(value); i++) {
                elements.add(written(Array.get(value, i)));
            }
            return kind("list", elements, false);
        }
        return quoted("?:" + value.getClass().getName());
    }

    private static List<String> all(Collection<?> values) {
        List<String> elements = new ArrayList<>();
        for (Object value : values) {
            elements.add(written(value));
        }
        return elements;
    }

    private static String kind(String name, List<String> elements, boolean sorted) {
        if (sorted) {
            Collections.sort(elements);
        }
        return "[" + quoted(name) + ", [" + String.join(", ", elements) + "]]";
    }

    private static String quoted(String text) {
        StringBuilder out = new StringBuilder("\"");
        for (char c : text.toCharArray()) {
            if (c == '"' || c == '\\') {
                out.append('\\').append(c);
            } else if (c < 32 || c > 126) {
                out.append(String.format("\\u%04x", (int) c));
            } else {
                out.append(c);
            }
        }
        return out.append('"').toString();
    }
}
