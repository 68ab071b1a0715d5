// The old client. It is compiled once, and never again.
using System;

public class Client
{
    public static void Main(string[] args)
    {
        var remote = (RemoteObjectDef)Activator.GetObject(typeof(RemoteObjectDef), "tcp://localhost:" + args[0] + "/RemoteObjectURL");
        Console.WriteLine(remote.GetValue());
        remote.SetValue("000");
    }
}
