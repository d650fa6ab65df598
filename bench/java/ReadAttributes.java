import com.sun.management.OperatingSystemMXBean;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import javax.management.MBeanServerConnection;
import javax.management.ObjectName;
import javax.management.remote.JMXConnector;
import javax.management.remote.JMXConnectorFactory;
import javax.management.remote.JMXServiceURL;

/**
 * What reading costs Java's own JMX client. Usage: ReadAttributes PORT WARM READS, with a line
 * "MBean, tab, attributes with commas between" for each MBean on the standard input.
 *
 * Reads all of them WARM times, then READS times, and prints for one of the latter: microseconds of
 * CPU time of this process, microseconds of wall-clock time, and how many values came.
 */
public final class ReadAttributes {
    public static void main(String[] arguments) throws Exception {
        String address = "service:jmx:rmi:///jndi/rmi://127.0.0.1:" + arguments[0] + "/jmxrmi";
        int warm = Integer.parseInt(arguments[1]);
        int reads = Integer.parseInt(arguments[2]);
        List<ObjectName> names = new ArrayList<>();
        List<String[]> attributes = new ArrayList<>();
        BufferedReader input =
                new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            String[] parts = line.split("\t");
            names.add(new ObjectName(parts[0]));
            attributes.add(parts[1].split(","));
        }
        OperatingSystemMXBean us =
                (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        try (JMXConnector connector = JMXConnectorFactory.connect(new JMXServiceURL(address))) {
            MBeanServerConnection server = connector.getMBeanServerConnection();
            read(server, names, attributes, warm);
            long cpu = us.getProcessCpuTime();
            long wall = System.nanoTime();
            long values = read(server, names, attributes, reads);
            cpu = us.getProcessCpuTime() - cpu;
            wall = System.nanoTime() - wall;
            System.out.println(cpu / 1e3 / reads + " " + wall / 1e3 / reads + " " + values / reads);
        }
    }

    private static long read(MBeanServerConnection server, List<ObjectName> names,
            List<String[]> attributes, int times) throws Exception {
        long values = 0;
        for (int i = 0; i < times; i++) {
            for (int j = 0; j < names.size(); j++) {
                values += server.getAttributes(names.get(j), attributes.get(j)).size();
            }
        }
        return values;
    }
}
