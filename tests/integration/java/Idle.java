/** A JVM that does nothing but be asked by JMX, until its standard input ends. */
public final class Idle {
    public static void main(String[] arguments) throws Exception {
        System.out.println("ready");
        while (System.in.read() != -1) { }
    }
}
