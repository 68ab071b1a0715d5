// One end of the .NET rows: "serve PORT tcp" or "http", or "call URL", which answers rounds as benchmarks/measure.py asks for them.
using System;
using System.Collections;
using System.Diagnostics;
using System.Globalization;
using System.Runtime.Remoting;
using System.Runtime.Remoting.Channels;
using System.Runtime.Remoting.Channels.Http;
using System.Runtime.Remoting.Channels.Tcp;

public class Bench : MarshalByRefObject
{
    public int Add(int a, int b) { return a + b; }

    public static void Main(string[] args)
    {
        if (args[0] == "serve")
            Serve(int.Parse(args[1]), args[2]);
        else
            Call(args[1]);
    }

    static void Serve(int port, string scheme)
    {
        var where = new Hashtable { { "port", port }, { "bindTo", "127.0.0.1" } };
        var channel = scheme == "http" ? (IChannel)new HttpChannel(where, null, null) : new TcpChannel(where, null, null);
        ChannelServices.RegisterChannel(channel, false);
        RemotingConfiguration.RegisterWellKnownServiceType(typeof(Bench), "bench", WellKnownObjectMode.Singleton);
        Console.WriteLine("ready");
        System.Threading.Thread.Sleep(System.Threading.Timeout.Infinite);
    }

    static void Call(string url)
    {
        var bench = (Bench)Activator.GetObject(typeof(Bench), url);
        for (int i = 0; i < 2000; i++) // until all of it is compiled
            if (bench.Add(i, 1) != i + 1) throw new Exception("a wrong sum");
        Console.WriteLine("ready");
        string line;
        while ((line = Console.In.ReadLine()) != null)
            Console.WriteLine(Rate(bench, double.Parse(line.Split(' ')[1], CultureInfo.InvariantCulture)).ToString(CultureInfo.InvariantCulture));
    }

    static double Rate(Bench bench, double seconds)
    {
        int done = 0;
        var watch = Stopwatch.StartNew();
        while (watch.Elapsed.TotalSeconds < seconds)
        {
            for (int i = 0; i < 50; i++)
                bench.Add(1, 2);
            done += 50;
        }
        return done / watch.Elapsed.TotalSeconds;
    }
}
